# What .ci/run checks of the ways to install: the unit, the package, a real
# systemd, a real container. Where a machine cannot, it is missed and said.

# Scores of systemd-analyze security, times ten.
SCORE_CLOSED=9
SCORE_DIRECT=11

# The unit file, with the program where it was built.
check_unit() {
  local place
  place=$(mktemp -d)
  sed -e "s#/usr/bin/edm-agent#$PWD/target/release/edm-agent#" -e '/^Documentation=/d' systemd/edm-agent.service \
    > "$place/edm-agent.service"
  systemd-analyze verify --man=no "$place/edm-agent.service"
  rm -rf "$place"
  check_score "$SCORE_CLOSED"
  check_score "$SCORE_DIRECT" site.conf
  check_score "$SCORE_DIRECT" network-direct.conf
  check_score "$SCORE_DIRECT" network-direct.conf spool-group.conf credentials.conf managed-identity.conf
  check_score "$SCORE_DIRECT" network-proxy.conf
}

# check_score MOST EXAMPLE...: how exposed the unit is with these drop-ins.
check_score() {
  local most=$1 place example
  shift
  place=$(mktemp -d)
  mkdir -p "$place/etc/systemd/system/edm-agent.service.d"
  cp systemd/edm-agent.service "$place/etc/systemd/system/"
  for example in "$@"; do
    cp "systemd/examples/$example" "$place/etc/systemd/system/edm-agent.service.d/"
  done
  echo "with ${*:-no drop-in}:"
  systemd-analyze security --offline=true --threshold="$most" --root="$place" --no-pager edm-agent.service | tail -n 1
  rm -rf "$place"
}

# The package, from the program that was built.
package() {
  if ! has dpkg-deb; then
    missed "the Debian package" "dpkg-deb is not here"
    return
  fi
  packaging/deb/build target/release/edm-agent target/edm-agent.deb
  packaging/deb/build target/release/edm-agent target/again.deb > /dev/null
  cmp target/edm-agent.deb target/again.deb
  rm target/again.deb
}

# apt PACKAGE...: installs what is missing, where that can be.
apt_install() {
  has apt-get && [ "$(id -u)" -eq 0 ] || return 1
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

under_systemd() {
  if [ "$(id -u)" -ne 0 ] || ! can_mount; then
    missed "a real systemd" "nothing can be mounted here"
  elif ! has mmdebstrap && ! apt_install mmdebstrap; then
    missed "a real systemd" "mmdebstrap is not here"
  else
    .ci/systemd/run target/edm-agent.deb
  fi
}

in_a_container() {
  if [ "$(id -u)" -ne 0 ] || ! can_mount; then
    missed "the container image" "nothing can be mounted here"
  elif { ! has buildah || ! has podman || ! has runc || ! has musl-gcc; } && ! apt_install buildah podman runc musl-tools; then
    missed "the container image" "buildah, podman, runc or musl-gcc are not here"
  elif ! rustup target add "$(uname -m)-unknown-linux-musl"; then
    missed "the container image" "the toolchain has no musl target"
  else
    .ci/container/run
  fi
}
