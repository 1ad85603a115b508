# Throw-away checkouts with stand-ins for the tools that scripts/setup calls, and the statements that setup-test makes
# about a run in one. Sourced by setup-test, which sets source_root, work (a temporary folder) and real_python.
# shellcheck shell=bash

passed=0 failed=0 name=''

# MARK: Stand-ins

# Every stand-in notes its call in $sandbox/calls and does what the files in $sandbox/fake say.
stand_in() {
  { printf '#!%s\nsandbox=%q\nfake=$sandbox/fake\n' "$BASH" "$sandbox"; cat; } >"$sandbox/bin/$1"
  chmod +x "$sandbox/bin/$1"
}

# A wheel like torch's: what is wanted, what is to be left out, and a library that loads.
make_wheels() {
  mkdir -p "$work/wheels"
  "$(command -v clang || command -v cc)" -shared -o "$work/library" -x c /dev/null
  "$real_python" - "$work" <<'END'
import pathlib, sys, zipfile

work = pathlib.Path(sys.argv[1])
library = (work / "library").read_bytes()
version = "".join(f"#define TORCH_VERSION_{k} {v}\n" for k, v in [("MAJOR", 2), ("MINOR", 15), ("PATCH", 0)])
with zipfile.ZipFile(work / "wheels" / "torch.whl", "w") as wheel:
    wheel.writestr("torch/include/torch/headeronly/version.h", version)
    wheel.writestr("torch/nn/functional.py", "")
    for part in ["_cpu", "_python", "_cuda", "_global_deps", ""]:
        wheel.writestr(f"torch/lib/libtorch{part}.so", library)
with zipfile.ZipFile(work / "wheels" / "nvidia.whl", "w") as wheel:
    for part in ["cudart", "cupti", "cublas"]:
        wheel.writestr(f"nvidia/cu13/lib/lib{part}.so.13", library)
END
}

new_sandbox() {
  sandbox=$(mktemp -d "$work/a checkout.XXXXXX")
  checkout=$sandbox/repository
  mkdir -p "$checkout" "$sandbox/bin" "$sandbox/fake"
  cp -R "$source_root/scripts" "$checkout/"
  : >"$sandbox/calls"
  echo 6.3.1 >"$sandbox/fake/swift"
  echo 50000000 >"$sandbox/fake/free"
  echo good >"$sandbox/fake/pip"
  echo "Linux x86_64" >"$sandbox/fake/uname"
  echo 0 >"$sandbox/fake/id"
  touch "$sandbox/fake/libraries" "$sandbox/fake/gloo"

  local tool
  for tool in awk bash cat cmp cp dirname env head mkdir mv paste rm sed sleep touch; do
    ln -s "$(command -v "$tool")" "$sandbox/bin/$tool"
  done
  stand_in swift <<<'echo "Swift version $(cat "$fake/swift") (a release)"'
  stand_in git <<<'exit 0'
  stand_in make <<<'exit 0'
  stand_in id <<<'cat "$fake/id"'
  stand_in uname <<<'read -r system machine <"$fake/uname"; [ "$1" = -s ] && echo "$system" || echo "$machine"'
  stand_in df <<<'printf "Filesystem 1024-blocks Used Available\nx 0 0 %s\n" "$(cat "$fake/free")"'
  stand_in pkg-config <<<'[ -e "$fake/libraries" ]'
  stand_in dpkg-query <<<'[ -e "$fake/gloo" ]'
  stand_in sudo <<<'echo "sudo $*" >>"$sandbox/calls"; "$@"'
  stand_in apt-get <<'END'
echo "apt-get $*" >>"$sandbox/calls"
case "$1-$(cat "$fake/apt" 2>/dev/null)" in
  update-stale) rm "$fake/apt" ;;
  install-stale) exit 100 ;;
  *-broken) echo "E: no such mirror" >&2; exit 100 ;;
  install-) touch "$fake/libraries" "$fake/gloo" ;;
esac
END
  stand_in python3 <<END
case "\$*" in
  "-m pip --version") exit 0 ;;
  "-m pip download"*)
    echo "pip \$*" >>"\$sandbox/calls"
    destination=\$5
    touch "\$TMPDIR/half" "\$destination/half.whl"
    case "\$(cat "\$fake/pip")" in
      good) rm "\$destination/half.whl"; cp "$work"/wheels/*.whl "\$destination" ;;
      broken) echo "ERROR: connection reset" >&2; exit 1 ;;
      full) echo 1000 >"\$fake/free"; echo "ERROR: no space left" >&2; exit 1 ;;
      truncated) ;;
      incomplete) rm "\$destination/half.whl"; cp "$work/wheels/nvidia.whl" "\$destination" ;;
      hanging) touch "\$sandbox/downloading"; exec sleep 30 ;;
    esac
    ;;
  *) exec "$real_python" "\$@" ;;
esac
END
}

# MARK: Statements

test_that() {
  finish
  name=$1 problems=()
  new_sandbox
}

finish() {
  [ -n "$name" ] || return 0
  if [ ${#problems[@]} -eq 0 ]; then
    passed=$((passed + 1))
    echo "  ok      $name"
  else
    failed=$((failed + 1))
    echo "  FAILED  $name"
    printf '            %s\n' "${problems[@]}"
    sed 's/^/            stderr: /' "$sandbox/stderr"
  fi
}

# set_up [VARIABLE=value...] [-- option...]
set_up() {
  local variables=(LC_ALL=C)
  while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  code=0
  env -i PATH="$sandbox/bin" "${variables[@]}" "$checkout/scripts/setup" "$@" \
    >"$sandbox/stdout" 2>"$sandbox/stderr" </dev/null || code=$?
}

expect() { "${@:2}" || problems+=("$1"); }
expect_code() { expect "exit code is $code, expected $1" [ "$code" -eq "$1" ]; }
expect_file() { expect "$1 is missing" [ -e "$checkout/.libtorch/$1" ]; }
expect_no_file() { expect "$1 should not be there" [ ! -e "$checkout/.libtorch/$1" ]; }
expect_no_calls() { expect "calls are '$(cat "$sandbox/calls")', expected none" [ ! -s "$sandbox/calls" ]; }
expect_call() { expect "no call of '$1'" grep -q -e "$1" "$sandbox/calls"; }
expect_nothing_installed() {
  expect "left behind: $(find "$checkout/.libtorch" -mindepth 1 2>/dev/null | head -n 3)" \
    [ -z "$(find "$checkout/.libtorch" -mindepth 1 2>/dev/null)" ]
}
expect_sentence() {
  expect "'$1' was not said" grep -q -F -e "$1" "$sandbox/stderr"
  expect "setup said $(grep -c ^setup: "$sandbox/stderr") sentences on stderr, expected 1" \
    [ "$(grep -c ^setup: "$sandbox/stderr")" -eq 1 ]
}
expect_refusal() {
  expect_code 1
  expect_sentence "$1"
  expect_nothing_installed
}
expect_linked() { expect "libtorch.pc lacks '$1'" grep -s -q -F -e "$1" "$checkout/.libtorch/pkgconfig/libtorch.pc"; }

# Names, inodes, sizes and times: equal only if nothing was touched.
listing() { find "$1" -exec ls -ldi {} + 2>&1 || true; }

make_libtorch() {
  mkdir -p "$1/lib" "$1/include/torch/headeronly"
  printf '#define TORCH_VERSION_%s\n' "MAJOR 2" "MINOR $2" "PATCH 1" >"$1/include/torch/headeronly/version.h"
  cp "$work/library" "$1/lib/libtorch_cpu.so"
}
