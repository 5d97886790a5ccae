# What .ci/run and .ci/nightly share: steps that say how long they took, and
# what this machine can do.

CURRENT="beginning"
# What was not checked here, said again at the end.
MISSED=()

# step WORDS... -- COMMAND...: runs a command under a name.
step() {
  local name="" started=$SECONDS
  while [ "$1" != "--" ]; do
    name="$name${name:+ }$1"
    shift
  done
  shift
  CURRENT=$name
  printf '\n==> %s\n' "$name"
  "$@"
  printf '<== %s: ok, %d s (%d s in all)\n' "$name" $((SECONDS - started)) "$SECONDS"
}

# missed WHAT WHY: remembers something that is not checked here.
missed() {
  MISSED+=("$1: $2")
  printf 'NOT CHECKED HERE: %s: %s\n' "$1" "$2"
}

finish() {
  local status=$? line
  for line in "${MISSED[@]}"; do
    printf 'not checked here: %s\n' "$line"
  done
  if [ "$status" -eq 0 ]; then
    printf '\nall is well, in %d s\n' "$SECONDS"
  else
    printf '\nFAILED (%d) at: %s\n' "$status" "$CURRENT" >&2
  fi
}

has() { command -v "$1" > /dev/null 2>&1; }

# The programs tests need beside Rust, Node and Python. Each with its Debian package.
install_tools() {
  local wanted=() pair
  for pair in cc:gcc strace:strace mkfs.ext4:e2fsprogs mount:mount losetup:mount curl:curl ssh-keygen:openssh-client; do
    has "${pair%%:*}" || wanted+=("${pair##*:}")
  done
  if [ ${#wanted[@]} -eq 0 ]; then
    echo "all tools are here"
    return
  fi
  echo "missing: ${wanted[*]}"
  if has apt-get && [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${wanted[@]}"
  else
    echo "they cannot be installed here: no apt-get, or not root"
  fi
  has cc || { echo "without a C compiler nothing can be built" >&2; return 1; }
}

# The storage emulator, where the blob tests look for it.
AZURITE_VERSION=3.37.0
install_azurite() {
  local place=target/azurite
  if [ "$(cat "$place/version" 2> /dev/null)" = "$AZURITE_VERSION" ]; then
    echo "azurite $AZURITE_VERSION is here"
    return
  fi
  mkdir -p "$place"
  npm install --prefix "$place" --no-save --no-audit --no-fund --loglevel=error "azurite@$AZURITE_VERSION" < /dev/null
  test -x "$place/node_modules/.bin/azurite-blob"
  echo "$AZURITE_VERSION" > "$place/version"
}

can_mount() {
  local place
  place=$(mktemp -d)
  if mount -t tmpfs -o size=1m none "$place" 2> /dev/null; then
    umount "$place"
    rmdir "$place"
    return 0
  fi
  rmdir "$place"
  return 1
}

can_loop() {
  local place answer=1
  place=$(mktemp -d)
  mkdir "$place/root"
  if truncate -s 8M "$place/image" && mkfs.ext4 -q "$place/image" 2> /dev/null \
    && mount -o loop "$place/image" "$place/root" 2> /dev/null; then
    umount "$place/root"
    answer=0
  fi
  rm -rf "$place"
  return "$answer"
}

# Finds out what this machine can do, and forbids the tests to pass over any of it.
demand_what_can_be() {
  local can=(azurite python)
  if has ssh-keygen; then can+=(openssh); else missed "signatures against ssh-keygen" "it is not here"; fi
  has python3 || { echo "python3 is missing" >&2; return 1; }
  if [ "$(id -u)" -eq 0 ]; then can+=(root); else missed "tests that need root" "this is not root"; fi
  if strace -qq -o /dev/null true 2> /dev/null; then
    can+=(strace)
  else
    missed "failing syncs and kills between system calls" "strace cannot trace here"
  fi
  if can_mount; then can+=(mount); else missed "small and read-only volumes" "nothing can be mounted here"; fi
  if can_loop; then can+=(loop); else missed "a journal on a full volume" "there is no loop device here"; fi
  EDM_AGENT_NO_SKIP=$(IFS=,; echo "${can[*]}")
  export EDM_AGENT_NO_SKIP
  echo "the tests must not pass over: $EDM_AGENT_NO_SKIP"
}

# The most that building the fuzz targets may take, in seconds.
FUZZ_BUILD_SECONDS=1800

# fuzz_each SECONDS: every target of fuzz/ for so long, by the pinned toolchain.
# No sanitizer: there is no unsafe code of ours to watch, and it would need another
# compiler. What is found lies under target/fuzz/found, to be kept as a seed.
fuzz_each() {
  local seconds=$1 file target place=target/fuzz
  export PATH="$PWD/target/tools/bin:$PATH"
  if ! cargo fuzz --version > /dev/null 2>&1; then
    if [ -z "${CI_FULL:-}" ]; then
      missed "fuzzing (the seeds are checked by the tests)" "cargo-fuzz is not installed (CI_FULL=1 installs it)"
      return
    fi
    cargo install cargo-fuzz --locked --root target/tools
  fi
  timeout "$FUZZ_BUILD_SECONDS" cargo fuzz build --sanitizer none --target-dir "$place"
  for file in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$file" .rs)
    mkdir -p "$place/corpus/$target" "$place/found/$target"
    timeout $((seconds + 120)) cargo fuzz run --sanitizer none --target-dir "$place" "$target" \
      "$place/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
      -max_len=10000 -artifact_prefix="$place/found/$target/" -print_final_stats=1 -verbosity=0
  done
  git diff --exit-code -- fuzz/Cargo.lock
}

# check_demo FILE ROWS: the last line of a demo is the summary of a good one.
check_demo() {
  tail -n 1 "$1" | python3 -c '
import json, sys
end, rows = json.loads(sys.stdin.read()), int(sys.argv[1])
print(end)
assert end["state"] == "Completed", end
assert end["rows"] == rows and end["blocks"] > 1 and end["bytes"] > rows, end
assert end["renewals"] >= 2 and end["upload_uri_changes"] >= 2, end
assert end["progress_reports"] >= 2, end
assert end["lookups_ok"] == 4, end
' "$2"
}
