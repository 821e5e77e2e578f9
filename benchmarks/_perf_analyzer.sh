#!/bin/sh
# NVIDIA's perf_analyzer on Debian 12, whose glibc (2.36) is older than the one that it needs (2.38): PyPI's binary, with
# the libraries of Debian 13 beside it in one folder. Nothing of this machine is changed.
#
#     sh benchmarks/_perf_analyzer.sh FOLDER && PATH=FOLDER:$PATH kit load ... --perf-analyzer
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs" "$folder/root" "$folder/wheel"
: >"$folder/apt/status"
sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -n 1 |
    sed 's|.*|deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] & trixie main|' >"$folder/apt/sources.list"
cat >"$folder/apt/apt.conf" <<END
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$folder/apt";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "root";
END
export APT_CONFIG="$folder/apt/apt.conf"
apt-get update -qq
(cd "$folder/debs" && apt-get download -qq libc6 libgcc-s1 libssl3t64 libstdc++6 libzstd1 zlib1g)
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done
pip download -q --no-deps -d "$folder/wheel" --only-binary :all: --platform manylinux_2_38_x86_64 perf-analyzer==2.60.0
python3 -m zipfile -e "$folder"/wheel/*.whl "$folder/wheel"
chmod +x "$folder/wheel/perf_analyzer/bin/perf_analyzer"
libraries=$folder/root/usr/lib/x86_64-linux-gnu
cat >"$folder/perf_analyzer" <<END
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries $folder/wheel/perf_analyzer/bin/perf_analyzer "\$@"
END
chmod +x "$folder/perf_analyzer"
"$folder/perf_analyzer" --version
