#!/usr/bin/env bash
# check-workflows.sh : checks the workflows of a public forge in .github/workflows with actionlint, which Go builds the first time.
# Exit code 77: there is no Go, or it cannot download actionlint.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly VERSION=v1.7.12
readonly TOOLS=$PWD/target/tools/actionlint-$VERSION

if [ ! -x "$TOOLS/actionlint" ]; then
  command -v go >/dev/null || { say "there is no Go to build actionlint with"; exit 77; }
  GOBIN=$TOOLS GOFLAGS=-mod=mod go install "github.com/rhysd/actionlint/cmd/actionlint@$VERSION" >&2 ||
    { say "Go cannot download or build actionlint"; exit 77; }
fi
# shellcheck and pyflakes are used where they are installed; the result must not depend on that.
"$TOOLS/actionlint" -shellcheck= -pyflakes=
