# SPDX-License-Identifier: Apache-2.0
"""Completions and the man page of smc-policy: run, and compared with what the program says."""

import re
import subprocess
import unittest

from harness import paths

DEPLOY = paths.REPO / "deploy"


def help_of(*words: str) -> str:
    return subprocess.run([paths.built(paths.POLICY), *words, "--help"], capture_output=True,
                          text=True, check=True, timeout=30).stdout


def names(text: str, section: str) -> set[str]:
    """The first words of a section of a help text."""
    body = text.split(f"{section}:\n", 1)[1]
    found = set()
    for line in body.splitlines():
        if line and not line.startswith(" "):
            break
        if line.strip():
            found.update(line.split()[0].split(","))
    return found


def bash(*words: str) -> set[str]:
    """What bash offers for the last of `words`."""
    typed = [str(paths.built(paths.POLICY)), *words]
    script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _smc_policy; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    run = subprocess.run(["bash", "-c", script, "bash", DEPLOY / "completion" / "smc-policy.bash",
                          *typed], capture_output=True, text=True, check=True, timeout=30)
    return set(run.stdout.split())


def zsh(*words: str) -> set[str]:
    """Likewise zsh. compadd writes down what it is given."""
    typed = [str(paths.built(paths.POLICY)), *words]
    script = """
        compdef() { }
        _files() { print -l files }
        compadd() {
            local -a all; local use=
            while (( $# )); do
                case $1 in
                -a) all+=(${(P)2}); shift ;;
                -S) shift ;;
                *) all+=($1) ;;
                esac
                shift
            done
            print -l -- ${(M)all:#$PREFIX*}
        }
        . $1; shift
        words=("$@"); CURRENT=$#; PREFIX=$words[CURRENT]
        _smc_policy
    """
    run = subprocess.run(["zsh", "-f", "-c", script, "zsh", DEPLOY / "completion" / "_smc-policy",
                          *typed], capture_output=True, text=True, check=True, timeout=30)
    return set(run.stdout.split())


class Completion(unittest.TestCase):
    def test_commands(self):
        commands = names(help_of(), "Subcommands")
        self.assertIn("explain", commands)
        for shell in (bash, zsh):
            with self.subTest(shell=shell.__name__):
                self.assertEqual(shell("") - names(help_of(), "Options"), commands)
                self.assertEqual(shell("exp"), {"explain"})

    def test_flags(self):
        for shell in (bash, zsh):
            with self.subTest(shell=shell.__name__):
                self.assertEqual(shell("deny", "--d"), {"--direction"})
                self.assertEqual(shell("deny", "80", "--"), {name for name in names(
                    help_of("deny"), "Options") if name.startswith("--")})

    def test_values(self):
        for shell in (bash, zsh):
            with self.subTest(shell=shell.__name__):
                self.assertEqual(shell("deny", "--direction", ""), {"out", "in", "both"})
                self.assertEqual(shell("deny", "--workload", "u"), {"unit:", "uid:"})

    def test_files(self):
        self.assertEqual(zsh("check", ""), {"files"})
        self.assertIn("/etc/passwd", bash("check", "/etc/passw"))


class ManPage(unittest.TestCase):
    def setUp(self):
        self.page = (DEPLOY / "man" / "smc-policy.8").read_text().replace("\\-", "-")

    def test_every_policy_command_is_there(self):
        for command in ("allow", "deny", "rules", "remove", "check", "diff", "apply", "explain"):
            with self.subTest(command=command):
                self.assertRegex(self.page, rf"(?m)^\.B[RI] .*\b{command}\b")
                for flag in names(help_of(command), "Options") - {"-h", "--help"}:
                    self.assertIn(flag, self.page)

    def test_every_flag_of_the_daemons_is_there(self):
        for program in (paths.AGENT, paths.BROKER):
            page = (DEPLOY / "man" / f"{program.name}.8").read_text().replace("\\-", "-")
            text = subprocess.run([paths.built(program), "--help"], capture_output=True, text=True,
                                  check=True, timeout=30).stdout
            flags = {name for name in names(text, "Options") if name.startswith("-")}
            self.assertGreater(len(flags), 5)
            for flag in flags:
                with self.subTest(program=program.name, flag=flag):
                    self.assertIn(flag, page)

    def test_they_are_man_pages(self):
        pages = sorted((DEPLOY / "man").glob("*.8"))
        self.assertEqual(len(pages), 4)
        for page in pages:
            with self.subTest(page=page.name):
                run = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page],
                                     capture_output=True, text=True, timeout=30, check=False)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertTrue(re.search(r"N\x08?N?A", run.stdout) or "NAME" in run.stdout)


if __name__ == "__main__":
    unittest.main()
