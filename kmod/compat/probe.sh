#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# probe.sh RESULT FILE.c... -- COMPILER FLAGS...: the names, in capitals, of the files that compile.
# RESULT keeps the answer, and what the compiler said to the others, until compiler, flags, kernel
# or files change.
set -eu

result=$1
shift
files=
while [ "$1" != -- ]; do
	files="$files $1"
	shift
done
shift

# shellcheck disable=SC2086 # file names without blanks, as all of kbuild's
key=$(
	{
		printf '%s\n' "$@" "${KERNELRELEASE-}" "${PWD}"
		"$1" --version
		cat "$0" $files
	} | cksum
)
if [ "$(head -n 1 "$result" 2>/dev/null)" = "# $key" ]; then
	sed -n 's/^have: //p' "$result"
	exit
fi

mkdir -p "$(dirname "$result")"
fresh=$result.$$
trap 'rm -f "$fresh" "$fresh".*' EXIT

# all at once: each takes half a second, most of it the kernel's headers
for file in $files; do
	name=$(basename "$file" .c)
	if "$@" -fsyntax-only "$file" 2>"$fresh.$name.says"; then
		echo "$name" | tr '[:lower:]' '[:upper:]' >"$fresh.$name.have"
	fi &
done
wait

have=$(cat "$fresh".*.have 2>/dev/null | tr '\n' ' ')
{
	echo "# $key"
	echo "have: $have"
	for file in $files; do
		name=$(basename "$file" .c)
		[ -e "$fresh.$name.have" ] || sed "s|^|$name: |" "$fresh.$name.says"
	done
} >"$fresh"
mv "$fresh" "$result"
echo "$have"
