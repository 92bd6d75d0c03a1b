// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/bugtool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/base/argv.h"
#include "agent/base/unique_fd.h"
#include "agent/base/version.h"
#include "agent/cli/client.h"
#include "agent/cli/doctor.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

struct Command {
    const char* file;
    std::vector<std::string> argv;
};

// Each is bounded in time: a machine in trouble may hang where we look.
const std::vector<Command>& commands() {
    static const std::vector<Command> list{
        {"dmesg.txt", {"dmesg"}},
        {"journal.txt", {"journalctl", "-u", "smc-agent", "-n", "2000", "--no-pager"}},
        {"uname.txt", {"uname", "-a"}},
        {"modules.txt", {"lsmod"}},
        {"addresses.txt", {"ip", "address"}},
        {"sockets.txt", {"ss", "-tan"}},
        {"sysctl-smc.txt", {"sysctl", "-a", "-r", "^net\\.(smc|ipv4\\.tcp_syncookies|mptcp)"}},
        {"bpf-programs.txt", {"bpftool", "prog", "list"}},
        {"bpf-maps.txt", {"bpftool", "map", "list"}},
        {"bpf-links.txt", {"bpftool", "link", "list"}},
        {"pci.txt", {"lspci", "-vv", "-d", "1af4:1110"}},
        {"ivpci.txt",
         {"sh", "-c", "grep -r . /sys/class/misc/ivpci*/ /sys/module/ivpci/parameters"}},
        {"configuration.txt",
         {"sh", "-c",
          "tail -n +1 /etc/smc-steer/*.yaml "
          "/etc/smc-steer/policy.d/*.yaml"}},
    };
    return list;
}

Result<int> run(const std::vector<std::string>& argv, const std::string& output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    auto words = argv_of(argv);
    pid_t pid = 0;
    int error = posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        return fail_errno(error, "cannot run {}", argv[0]);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void collect(const fs::path& directory, const std::string& socket_path) {
    std::ofstream(directory / "version.txt") << "smc-policy " << kVersion << "\n";
    std::ofstream(directory / "doctor.txt")
        << render_findings(diagnose(collect_facts(socket_path)));
    for (const char* noun : {"status", "rules", "peers", "flows", "reasons"}) {
        auto answer = ask(socket_path, {{"cmd", noun}});
        std::ofstream file(directory / (std::string(noun) + ".json"));
        file << (answer ? answer->dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                        : answer.error().message)
             << "\n";
    }
    for (const auto& command : commands()) {
        auto output = directory / command.file;
        std::vector<std::string> argv{"timeout", "20"};
        argv.insert(argv.end(), command.argv.begin(), command.argv.end());
        if (auto code = run(argv, output); !code) {
            std::ofstream(output, std::ios::app) << code.error().message << "\n";
        }
    }
}

}  // namespace

Result<void> write_bug_report(const std::string& path, const std::string& socket_path) {
    // Asked first: a wrong path is to be known before a minute of collecting.
    UniqueFd target(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!target) {
        return fail_errno(errno, "{}: cannot make", path);
    }
    std::string work = fs::temp_directory_path() / "smc-bugtool-XXXXXX";
    if (mkdtemp(work.data()) == nullptr) {
        return fail_errno(errno, "{}: cannot make", work);
    }
    fs::path directory = fs::path(work) / "smc-steer";
    fs::create_directory(directory);
    collect(directory, socket_path);
    auto code = run({"tar", "-C", work, "-czf", path, "smc-steer"}, work + "/tar.txt");
    std::error_code ignored;
    fs::remove_all(work, ignored);
    if (!code) {
        return tl::unexpected(code.error());
    }
    if (*code != 0) {
        return fail("{}: tar failed with {}", path, *code);
    }
    return {};
}

}  // namespace smc_steer
