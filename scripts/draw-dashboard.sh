#!/usr/bin/env bash
# draw-dashboard.sh : makes the README's picture of the dashboard, docs/dashboard.png, with the dashboard's test. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh
require_root
require ip nft ping unshare nsenter sysctl setpriv chromium chromedriver
cargo build --bins
CARRICK_DASHBOARD_PICTURE=$PWD/docs/dashboard.png cargo test -p carrick-lab --test dashboard -- the_page_shows_the_mesh
