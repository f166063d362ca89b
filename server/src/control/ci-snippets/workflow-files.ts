import type { CiSnippetQuery } from '@berth/api/trust-rules'
import { ID_TOKEN_VARIABLE, KEY_VARIABLE, type SnippetPlace, shellLines } from './shell-lines.ts'

type Provider = CiSnippetQuery['provider']
type Mode = CiSnippetQuery['mode']

export interface WorkflowFile {
  readonly fileName: string
  readonly content: string
  /** What has to be done once besides. */
  readonly setup: readonly string[]
}

type Write = (mode: Mode, place: SnippetPlace) => WorkflowFile

/** A complete file for each CI service, to be pasted as it is. */
export const WORKFLOW_FILES: Readonly<Record<Provider, Write>> = {
  github: writeGithub,
  gitlab: writeGitlab,
  circleci: writeCircleci,
  jenkins: writeJenkins,
}

function writeGithub(mode: Mode, place: SnippetPlace): WorkflowFile {
  const isKeyless = mode === 'keyless'
  return {
    fileName: '.github/workflows/push-image.yml',
    content: lines(
      'name: Push image',
      'on:',
      '  push:',
      '    branches: [main]',
      'jobs:',
      '  push-image:',
      '    runs-on: ubuntu-latest',
      '    permissions:',
      '      contents: read',
      ...(isKeyless ? ['      id-token: write'] : []),
      '    steps:',
      '      - uses: actions/checkout@v4',
      '      - name: Build and push',
      '        shell: bash',
      ...(isKeyless ? [] : ['        env:', `          ${KEY_VARIABLE}: \${{ secrets.${KEY_VARIABLE} }}`]),
      '        run: |',
      ...indent(10, shellLines('github', mode, place)),
    ),
    setup: isKeyless
      ? [
          'Find the id of the repository: gh api repos/<owner>/<repository> --jq .id',
          ruleCommand(place, 'github', 'repository_id=<id> --condition ref=refs/heads/main'),
        ]
      : [
          keyCommand(place, 'github'),
          `Store the key as the secret ${KEY_VARIABLE} of the repository (Settings, Secrets and variables, Actions).`,
        ],
  }
}

function writeGitlab(mode: Mode, place: SnippetPlace): WorkflowFile {
  const isKeyless = mode === 'keyless'
  return {
    fileName: '.gitlab-ci.yml',
    content: lines(
      'push-image:',
      '  image: quay.io/buildah/stable',
      '  variables:',
      '    STORAGE_DRIVER: vfs',
      '  rules:',
      '    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH',
      ...(isKeyless ? ['  id_tokens:', `    ${ID_TOKEN_VARIABLE}:`, `      aud: ${place.audience}`] : []),
      '  script:',
      '    - |',
      '      set -eo pipefail',
      ...indent(6, shellLines('gitlab', mode, place)),
    ),
    setup: isKeyless
      ? [
          'Find the id of the project on its page in GitLab, in the menu beside its name.',
          ruleCommand(
            place,
            'gitlab',
            'project_id=<id> --condition ref=main --condition ref_type=branch --condition ref_protected=true',
          ),
        ]
      : [
          keyCommand(place, 'gitlab'),
          `Store the key as the variable ${KEY_VARIABLE} of the project, masked and protected (Settings, CI/CD, Variables).`,
        ],
  }
}

function writeCircleci(mode: Mode, place: SnippetPlace): WorkflowFile {
  const isKeyless = mode === 'keyless'
  return {
    fileName: '.circleci/config.yml',
    content: lines(
      'version: 2.1',
      'jobs:',
      '  push-image:',
      '    docker:',
      '      - image: cimg/base:current',
      '    steps:',
      '      - checkout',
      '      - setup_remote_docker',
      '      - run:',
      '          name: Build and push',
      '          command: |',
      '            set -eo pipefail',
      ...indent(12, shellLines('circleci', mode, place)),
      'workflows:',
      '  push:',
      '    jobs:',
      '      - push-image:',
      '          context: berth',
      '          filters:',
      '            branches:',
      '              only: main',
    ),
    setup: isKeyless
      ? [
          'Make a context named berth (Organization Settings, Contexts): jobs without a context get no token.',
          `${ruleCommand(place, 'circleci', 'oidc.circleci.com/project-id=<project id>')} --issuer https://oidc.circleci.com/org/<organization id>`,
        ]
      : [
          keyCommand(place, 'circleci'),
          `Make a context named berth (Organization Settings, Contexts) and store the key in it as ${KEY_VARIABLE}.`,
        ],
  }
}

function writeJenkins(mode: Mode, place: SnippetPlace): WorkflowFile {
  const isKeyless = mode === 'keyless'
  const credential = isKeyless ? 'berth-id-token' : 'berth-key'
  const variable = isKeyless ? ID_TOKEN_VARIABLE : KEY_VARIABLE
  return {
    fileName: 'Jenkinsfile',
    content: lines(
      'pipeline {',
      '  agent any',
      '  stages {',
      "    stage('Push image') {",
      '      steps {',
      `        withCredentials([string(credentialsId: '${credential}', variable: '${variable}')]) {`,
      "          sh '''#!/bin/bash",
      '            set -eo pipefail',
      // Agents live on: what docker remembers of the sign-in must not.
      '            export DOCKER_CONFIG="$(mktemp -d)"',
      `            trap 'rm -rf "$DOCKER_CONFIG"' EXIT`,
      ...indent(12, shellLines('jenkins', mode, place)),
      "          '''",
      '        }',
      '      }',
      '    }',
      '  }',
      '}',
    ),
    setup: isKeyless
      ? [
          'Install the plugin OpenID Connect Provider and make its issuer reachable from Berth.',
          'Add a claim template for builds, such as berth_job = ${JOB_NAME} (Security, OpenID Connect).',
          `Add a credential of the kind "OpenID Connect id token" with the id berth-id-token and the audience ${place.audience}.`,
          `${ruleCommand(place, 'custom', 'berth_job=<job name>')} --issuer https://<jenkins>/oidc`,
        ]
      : [
          keyCommand(place, 'jenkins'),
          'Add a credential of the kind "Secret text" with the id berth-key that holds the key.',
        ],
  }
}

function ruleCommand({ namespace }: SnippetPlace, provider: string, condition: string): string {
  return `berth ci rules add "CI" --project ${namespace} --provider ${provider} --condition ${condition}`
}

function keyCommand({ namespace }: SnippetPlace, name: string): string {
  return `berth keys create ${name} --project ${namespace} --actions pull,push`
}

function indent(columns: number, text: readonly string[]): string[] {
  return text.map((line) => `${' '.repeat(columns)}${line}`)
}

function lines(...text: string[]): string {
  return `${text.join('\n')}\n`
}
