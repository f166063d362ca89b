// Command oras drives the library oras-go against a registry: what the oras command line does, for machines on which
// that cannot be built.
//
//	oras push     REFERENCE ARTIFACT_TYPE FILE...           prints the manifest's descriptor
//	oras attach   REFERENCE ARTIFACT_TYPE FILE...           the same, with the manifest of REFERENCE as its subject
//	oras discover REFERENCE [ARTIFACT_TYPE]                 prints the descriptors of its referrers
//	oras pull     REFERENCE FOLDER                          writes its files, prints the manifest's descriptor
//	oras copy     REFERENCE REFERENCE                       with all referrers
//
// Output is JSON. ORAS_USERNAME and ORAS_PASSWORD are the credential; registries are reached by plain HTTP.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

const fileMediaType = "application/vnd.example.file"

func main() {
	result, err := run(context.Background(), os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (any, error) {
	if len(args) < 2 {
		return nil, errors.New("usage: oras push|attach|discover|pull|copy REFERENCE ...")
	}
	command, rest := args[0], args[2:]
	repository, err := open(args[1])
	if err != nil {
		return nil, err
	}
	switch {
	case command == "push" && len(rest) >= 2:
		return push(ctx, repository, repository.Reference.Reference, nil, rest[0], rest[1:])
	case command == "attach" && len(rest) >= 2:
		subject, err := repository.Resolve(ctx, repository.Reference.Reference)
		if err != nil {
			return nil, err
		}
		return push(ctx, repository, "", &subject, rest[0], rest[1:])
	case command == "discover" && len(rest) <= 1:
		return discover(ctx, repository, rest)
	case command == "pull" && len(rest) == 1:
		return pull(ctx, repository, rest[0])
	case command == "copy" && len(rest) == 1:
		target, err := open(rest[0])
		if err != nil {
			return nil, err
		}
		from, to := repository.Reference.Reference, target.Reference.Reference
		return oras.ExtendedCopy(ctx, repository, from, target, to, oras.DefaultExtendedCopyOptions)
	}
	return nil, fmt.Errorf("cannot %s with %d arguments", command, len(rest))
}

func open(reference string) (*remote.Repository, error) {
	repository, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = true
	credential := auth.Credential{Username: os.Getenv("ORAS_USERNAME"), Password: os.Getenv("ORAS_PASSWORD")}
	repository.Client = &auth.Client{
		Client:     retry.DefaultClient,
		Cache:      auth.NewCache(),
		Credential: auth.StaticCredential(repository.Reference.Registry, credential),
	}
	return repository, nil
}

func push(
	ctx context.Context,
	repository *remote.Repository,
	tag string,
	subject *ocispec.Descriptor,
	artifactType string,
	files []string,
) (ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	store, err := file.New("")
	if err != nil {
		return none, err
	}
	defer store.Close()
	var layers []ocispec.Descriptor
	for _, path := range files {
		layer, err := store.Add(ctx, filepath.Base(path), fileMediaType, path)
		if err != nil {
			return none, err
		}
		layers = append(layers, layer)
	}
	options := oras.PackManifestOptions{Subject: subject, Layers: layers}
	manifest, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, artifactType, options)
	if err != nil {
		return none, err
	}
	if tag == "" {
		return manifest, oras.CopyGraph(ctx, store, repository, manifest, oras.DefaultCopyGraphOptions)
	}
	if err := store.Tag(ctx, manifest, tag); err != nil {
		return none, err
	}
	return oras.Copy(ctx, store, tag, repository, tag, oras.DefaultCopyOptions)
}

func discover(ctx context.Context, repository *remote.Repository, types []string) ([]ocispec.Descriptor, error) {
	subject, err := repository.Resolve(ctx, repository.Reference.Reference)
	if err != nil {
		return nil, err
	}
	artifactType := ""
	if len(types) == 1 {
		artifactType = types[0]
	}
	found := []ocispec.Descriptor{}
	err = repository.Referrers(ctx, subject, artifactType, func(page []ocispec.Descriptor) error {
		found = append(found, page...)
		return nil
	})
	return found, err
}

func pull(ctx context.Context, repository *remote.Repository, folder string) (ocispec.Descriptor, error) {
	store, err := file.New(folder)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer store.Close()
	reference := repository.Reference.Reference
	return oras.Copy(ctx, repository, reference, store, reference, oras.DefaultCopyOptions)
}
