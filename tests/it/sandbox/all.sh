#!/bin/bash
# all.sh: builds all root file systems and layers that the tests stand on, before any test waits for one. Prints nothing on
# stdout. Those that stand on one another come in their order, the others at the same time.
set -euo pipefail
HERE=$(dirname "$(realpath "$0")")
exec >/dev/null

"$HERE/base.sh"
for suite in bullseye trixie; do "$HERE/base.sh" $suite & done
for layer in counting dma exim4 judges logging msmtp nullmailer opensmtpd passing schema sendmail smtp; do "$HERE/layer.sh" $layer & done
"$HERE/../../callers/base.sh" &
"$HERE/../../packaging/layer.sh" &
"$HERE/../../packaging/layer.sh" build &
"$HERE/corpora.sh" &
"$HERE/qemu.sh" &
failed=0
for job in $(jobs -p); do wait "$job" || failed=1; done
exit $failed
