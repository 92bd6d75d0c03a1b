// SPDX-License-Identifier: Apache-2.0
// The daemon's edges that need no kernel feature: files, policy directories, control socket.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/cli/client.h"
#include "agent/daemon/control_protocol.h"
#include "agent/daemon/control_server.h"
#include "agent/daemon/files.h"
#include "agent/daemon/policy_source.h"
#include "tests/unit/directory_test.h"
#include "tests/unit/few_descriptors.h"
#include "tests/unit/log_capture.h"
#include "tests/unit/with_client.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

class Daemon : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        paths_.main_file = dir_ / "policy.yaml";
        paths_.reserved_ports = dir_ / "reserved";
    }
    void write(const fs::path& path, const std::string& text) {
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }

    PolicyPaths paths_;
};

TEST_F(Daemon, FilesAreReadWhole) {
    EXPECT_EQ(*read_file(dir_ / "none"), std::nullopt);
    write(dir_ / "f", "text\n");
    EXPECT_EQ(*read_file(dir_ / "f"), "text\n");
    EXPECT_FALSE(read_file(dir_));
    ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
    EXPECT_FALSE(read_file(dir_ / "fifo"));
    fs::resize_file(dir_ / "f", (4 << 20) + 1);
    EXPECT_FALSE(read_file(dir_ / "f"));
}

TEST_F(Daemon, FilesAreReplacedWhole) {
    std::string path = dir_ / "new" / "f";
    ASSERT_TRUE(replace_file(path, "one"));
    ASSERT_TRUE(replace_file(path, "two"));
    EXPECT_EQ(*read_file(path), "two");
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "new"), {}), 1);
    EXPECT_FALSE(replace_file(dir_ / "new" / "f" / "below-a-file", "x"));
}

TEST_F(Daemon, PolicyIsMainFileAndSortedDropIns) {
    EXPECT_EQ(load_policy(paths_)->rules, builtin_policy().rules);
    write(paths_.main_file, "version: 1\nrules:\n- {action: deny, ports: 1}\n");
    write(dir_ / "policy.d" / "90.yaml", "version: 1\nrules:\n- {action: deny, ports: 3}\n");
    write(dir_ / "policy.d" / "10.yaml", "version: 1\nrules:\n- {action: deny, ports: 2}\n");
    write(dir_ / "policy.d" / "10.yaml~", "not yaml: [");
    write(dir_ / "policy.d" / ".20.yaml", "not yaml: [");
    auto policy = load_policy(paths_);
    ASSERT_TRUE(policy) << policy.error().message;
    ASSERT_EQ(policy->rules.size(), 3U);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(policy->rules[i].ports[0].first, i + 1);
    }
    write(dir_ / "policy.d" / "20.yaml", "version: 1\nrules:\n- {action: deny, ports: x}\n");
    EXPECT_FALSE(load_policy(paths_));
}

TEST_F(Daemon, PortsTheKernelReservesAreDeniedUnlessAFileSaysWhatHolds) {
    write(paths_.reserved_ports, "8080,9148-9150\n");
    auto policy = load_policy(paths_);
    ASSERT_EQ(policy->rules.size(), 2U);
    EXPECT_EQ(to_string(policy->rules[1]), "deny 8080, 9148-9150");
    write(paths_.main_file, "version: 1\n");
    EXPECT_TRUE(load_policy(paths_)->rules.empty());
}

TEST_F(Daemon, ANamedPolicyMustExist) {
    paths_.must_exist = true;
    EXPECT_EQ(load_policy(paths_).error().message, paths_.main_file + ": no such file");
}

TEST_F(Daemon, OwnRulesAreADropIn) {
    EXPECT_TRUE(load_own_rules(paths_)->empty());
    ASSERT_TRUE(save_own_rules(paths_, {{Action::deny, {{80, 81}}, "c", {}}}));
    auto own = load_own_rules(paths_);
    ASSERT_EQ(own->size(), 1U);
    auto policy = load_policy(paths_);
    ASSERT_EQ(policy->rules.size(), 2U);
    EXPECT_EQ(policy->rules[1], own->at(0));
    EXPECT_EQ(policy->rules[1].origin.file, paths_.own_file());
}

TEST_F(Daemon, ChangesAreSeenAlsoInADirectoryThatComesLater) {
    auto loop = EventLoop::create();
    int seen = 0;
    paths_.main_file = dir_ / "etc" / "policy.yaml";
    PolicyWatch watch(*loop, paths_, [&] {
        seen++;
        loop->exit(0);
    });
    watch.refresh();  // nothing there yet
    auto later = loop->after(std::chrono::milliseconds(10), [&] {
        write(paths_.main_file, "version: 1\n");
        watch.refresh();
    });
    auto limit = loop->after(std::chrono::seconds(10), [&] { loop->exit(1); });
    EXPECT_EQ(*loop->run(), 0);
    EXPECT_EQ(seen, 1);
}

class Control : public Daemon {
protected:
    void SetUp() override {
        Daemon::SetUp();
        path_ = dir_ / "run" / "agent.sock";
        loop_ = std::make_unique<EventLoop>(*EventLoop::create());
        serve({});
    }
    void serve(const Access& access) {
        server_.reset();
        auto server =
            ControlServer::listen(*loop_, path_, access, [](std::string_view line, const Caller&) {
                auto request = parse_request(line);
                if (!request) {
                    return ControlServer::Answer{to_line(error_answer(request.error().message)),
                                                 true};
                }
                if (request->command == Command::monitor) {
                    return ControlServer::Answer{to_line({{"ok", true}}), false, true};
                }
                // Larger than a socket's buffer, so that answers are sent in parts.
                return ControlServer::Answer{
                    to_line({{"ok", true}, {"filler", std::string(2 << 20, 'x')}}), false};
            });
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
    }
    template <typename F>
    void with_client(F client) {
        smc_steer::with_client(*loop_, client);
    }
    UniqueFd dial() {
        UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        dial(fd);
        return fd;
    }
    void dial(const UniqueFd& fd) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    }
    static std::string read_all(int fd) {
        std::string text;
        char room[65536];
        for (ssize_t n; (n = recv(fd, room, sizeof(room), 0)) > 0;) {
            text.append(room, n);
        }
        return text;
    }

    std::string path_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<ControlServer> server_;
};

TEST_F(Control, IsForRootOnly) {
    struct stat st {};
    ASSERT_EQ(stat(path_.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600U);
    ASSERT_EQ(stat((dir_ / "run").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0755U);
}

TEST_F(Control, ASecondServerIsRefusedAndADeadOnesSocketReplaced) {
    auto second = ControlServer::listen(*loop_, path_, {}, {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
    server_.reset();
    EXPECT_FALSE(fs::exists(path_));
    std::ofstream(path_) << "left behind";
    EXPECT_TRUE(ControlServer::listen(*loop_, path_, {}, {}));
}

TEST_F(Control, AnswersLargeAndOften) {
    with_client([&] {
        for (int i = 0; i < 3; i++) {
            auto answer = ask(path_, {{"cmd", "status"}});
            ASSERT_TRUE(answer) << answer.error().message;
            EXPECT_EQ((*answer)["filler"].get_ref<const std::string&>().size(), 2U << 20);
        }
        auto refused = ask(path_, {{"cmd", "reboot"}});
        EXPECT_EQ(refused.error().message, "request: unknown command 'reboot'");
    });
}

TEST_F(Control, SeveralRequestsOnOneConnection) {
    with_client([&] {
        auto fd = dial();
        std::string two = "{\"cmd\":\"status\"}\n{\"cmd\":\"rules\"}\n";
        ASSERT_EQ(send(fd.get(), two.data(), two.size(), MSG_NOSIGNAL), ssize_t(two.size()));
        shutdown(fd.get(), SHUT_WR);
        auto text = read_all(fd.get());
        EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
    });
}

TEST_F(Control, GarbageIsAnsweredAndHungUpOn) {
    with_client([&] {
        auto fd = dial();
        ASSERT_EQ(send(fd.get(), "garbage\n", 8, MSG_NOSIGNAL), 8);
        EXPECT_EQ(read_all(fd.get()), "{\"error\":\"request: not a JSON object\",\"ok\":false}\n");
    });
}

TEST_F(Control, EndlessRequestsAreCutOff) {
    with_client([&] {
        auto fd = dial();
        std::string much(kRequestMost + 100, 'x');
        send(fd.get(), much.data(), much.size(), MSG_NOSIGNAL);
        auto text = read_all(fd.get());
        EXPECT_EQ(text, "{\"error\":\"request: longer than 64 KiB\",\"ok\":false}\n");
    });
}

TEST_F(Control, StallingClientsDoNotStallOthers) {
    with_client([&] {
        std::vector<UniqueFd> stalling;
        for (int i = 0; i < 8; i++) {
            stalling.push_back(dial());
            send(stalling.back().get(), "{\"cmd\"", 6, MSG_NOSIGNAL);
            stalling.push_back(dial());
            // Asks for much and reads nothing.
            for (int k = 0; k < 10; k++) {
                send(stalling.back().get(), "{\"cmd\":\"status\"}\n", 17, MSG_NOSIGNAL);
            }
        }
        EXPECT_TRUE(ask(path_, {{"cmd", "status"}}));
    });
}

// This thread alone, and only for its connect(): the process stays root.
class As {
public:
    explicit As(uid_t uid) { EXPECT_EQ(syscall(SYS_setresuid, -1, uid, -1), 0); }
    As(const As&) = delete;
    As& operator=(const As&) = delete;
    ~As() { syscall(SYS_setresuid, -1, 0, -1); }
};

TEST_F(Control, RootGetsInHoweverManyOthersListen) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root can be others";
    }
    Access access;
    access.all_read = true;
    serve(access);
    fs::permissions(dir_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
    with_client([&] {
        constexpr uid_t kSomebody = 65534;
        auto say = [](const UniqueFd& fd) {
            send(fd.get(), "{\"cmd\":\"monitor\"}\n", 18, MSG_NOSIGNAL);
            char room[4096];
            auto n = recv(fd.get(), room, sizeof(room), 0);
            return std::string(room, n > 0 ? static_cast<std::size_t>(n) : 0);
        };
        std::vector<UniqueFd> listening;
        {
            As somebody(kSomebody);
            for (int i = 0; i < 32; i++) {
                listening.push_back(dial());
                ASSERT_EQ(say(listening.back()), "{\"ok\":true}\n") << i;
            }
            auto one_more = dial();
            EXPECT_NE(read_all(one_more.get()).find("32 clients are connected"), std::string::npos);
        }
        EXPECT_TRUE(ask(path_, {{"cmd", "status"}}));
        listening.pop_back();
        // The place is free when the server has seen the end.
        std::string answer;
        for (int i = 0; i < 1000 && answer != "{\"ok\":true}\n"; i++) {
            As somebody(kSomebody);
            auto next = dial();
            answer = say(next);
        }
        EXPECT_EQ(answer, "{\"ok\":true}\n");
    });
}

TEST_F(Control, WithoutDescriptorsClientsWait) {
    LogCapture log;
    with_client([&] {
        UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        {
            NoMoreDescriptors none;
            dial(fd);
            for (int i = 0; i < 1000 && log.lines() == 0; i++) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
            }
        }
        EXPECT_NE(log.text().find("cannot accept a client of ours: Too many open files"),
                  std::string::npos)
            << log.text();
        send(fd.get(), "garbage\n", 8, MSG_NOSIGNAL);
        EXPECT_NE(read_all(fd.get()).find("not a JSON object"), std::string::npos);
    });
}

TEST(ControlClient, SaysThatThereIsNoAgent) {
    EXPECT_EQ(ask("/nonexistent/agent.sock", {{"cmd", "status"}}).error().message,
              "smc-agent is not running (no socket at /nonexistent/agent.sock): start it with "
              "systemctl start smc-agent");
}

}  // namespace
}  // namespace smc_steer
