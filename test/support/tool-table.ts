/** Every program that a suite may need beside Node, and where it comes from. */

export type AptTool = {
  kind: 'apt'
  /** Debian packages, installed without their recommendations. */
  packages: readonly string[]
  /** Commands that must be there afterwards; the first one is the tool's path. */
  commands: readonly string[]
}

export type GoTool = {
  kind: 'go'
  /** Import path of the main package. */
  importPath: string
  /** A module version, or a commit that the module proxy resolves. */
  version: string
  /** Name of the built executable. */
  command: string
  /** Where a person gets it when it cannot be built. */
  homepage: string
}

/** A Go program of our own, for a library that has no command which can be built here. */
export type GoSource = {
  kind: 'go-source'
  /** Folder in test/support with its go.mod, go.sum and sources. */
  folder: string
  command: string
}

export type Tool = AptTool | GoTool | GoSource

export const tools = {
  docker: apt(['docker.io', 'iptables'], ['docker', 'dockerd']),
  containerd: apt(['containerd', 'runc'], ['containerd', 'ctr', 'runc']),
  podman: apt(['podman', 'runc', 'netavark', 'aardvark-dns', 'catatonit', 'iptables'], ['podman', 'runc']),
  buildah: apt(['buildah', 'runc'], ['buildah', 'runc']),
  skopeo: apt(['skopeo'], ['skopeo']),
  umoci: apt(['umoci'], ['umoci']),
  postgres: apt(['postgresql'], ['postgres', 'initdb', 'psql']),
  nginx: apt(['nginx-light'], ['nginx']),
  caddy: apt(['caddy'], ['caddy']),
  'docker-registry': apt(['docker-registry'], ['docker-registry']),
  htpasswd: apt(['apache2-utils'], ['htpasswd']),
  wrk: apt(['wrk'], ['wrk']),
  gcc: apt(['gcc', 'libc6-dev'], ['gcc']),
  busybox: apt(['busybox-static'], ['busybox']),
  openssl: apt(['openssl'], ['openssl']),
  curl: apt(['curl', 'ca-certificates'], ['curl']),
  jq: apt(['jq'], ['jq']),
  git: apt(['git', 'ca-certificates'], ['git']),
  mount: apt(['mount'], ['mount', 'umount']),
  go: apt(['golang-go', 'ca-certificates'], ['go']),
  crane: {
    kind: 'go',
    importPath: 'github.com/google/go-containerregistry/cmd/crane',
    version: 'v0.22.1',
    command: 'crane',
    homepage: 'https://github.com/google/go-containerregistry',
  },
  regctl: {
    kind: 'go',
    importPath: 'github.com/regclient/regclient/cmd/regctl',
    version: 'v0.11.7',
    command: 'regctl',
    homepage: 'https://github.com/regclient/regclient',
  },
  helm: {
    kind: 'go',
    importPath: 'helm.sh/helm/v3/cmd/helm',
    version: 'v3.22.0',
    command: 'helm',
    homepage: 'https://helm.sh',
  },
  // oras-go; the oras command itself is not in every checksum database that a machine may be bound to.
  oras: { kind: 'go-source', folder: 'oras', command: 'oras' },
  versitygw: {
    kind: 'go',
    importPath: 'github.com/versity/versitygw/cmd/versitygw',
    version: 'v1.8.0',
    command: 'versitygw',
    homepage: 'https://github.com/versity/versitygw',
  },
  // The suite has no release of its own; the commit is the one that docs and expectations were read from.
  'oci-conformance': {
    kind: 'go',
    importPath: 'github.com/opencontainers/distribution-spec/conformance',
    version: '967efdc',
    command: 'conformance',
    homepage: 'https://github.com/opencontainers/distribution-spec/tree/main/conformance',
  },
} as const satisfies Record<string, Tool>

export type ToolName = keyof typeof tools

/** Whether a word names a tool of the table. */
export function isToolName(name: string): name is ToolName {
  return Object.hasOwn(tools, name)
}

function apt(packages: readonly string[], commands: readonly string[]): AptTool {
  return { kind: 'apt', packages, commands }
}
