// SPDX-License-Identifier: Apache-2.0
// What an upgrade needs and no kernel does: versions of pins, the saved settings, the trial run,
// descriptors that are handed over. And who may ask for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/daemon/access.h"
#include "agent/daemon/handover.h"
#include "agent/daemon/saved_state.h"
#include "agent/kernel/pins.h"
#include "tests/unit/directory_test.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

using Upgrade = DirectoryTest;

TEST_F(Upgrade, PinsOfANewerAbiAreRefusedWithBothNumbers) {
    Pins pins(dir_ / "pins");
    EXPECT_EQ(*pins.version(), 0);
    EXPECT_TRUE(pins.check_version(1));
    fs::create_directories(dir_ / "pins" / "abi-3");
    fs::create_directories(dir_ / "pins" / "abi-12");
    for (const char* other : {"abi-", "abi-x", "abi-99x", "abi--5", "elsewhere"}) {
        fs::create_directories(dir_ / "pins" / other);
    }
    EXPECT_EQ(*pins.version(), 12);
    EXPECT_TRUE(pins.check_version(12));
    auto refused = pins.check_version(11);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("have ABI 12, this smc-agent knows 11"),
              std::string::npos)
        << refused.error().message;
    pins.remove();
    EXPECT_FALSE(fs::exists(dir_ / "pins"));
}

TEST_F(Upgrade, PinningWantsBpffs) {
    auto done = Pins(dir_ / "pins").pin(1, {});
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message.find("mount -t bpf"), std::string::npos);
}

SavedState some_state() {
    SavedState state;
    state.set = {"smc_steer_a", 1 << 20, 1 << 20};
    state.namespaces[{4, 4026531840}] = {"", 65536, std::nullopt};
    state.namespaces[{4, 4026531999}] = {"linkcheck", std::nullopt, 65536};
    state.eid = "SMC-STEER-1";
    state.remove_eid = true;
    state.totals.smcd_client = 1ULL << 40;
    state.totals.fallbacks_server[0x03010000] = 70000;
    return state;
}

TEST_F(Upgrade, SavedSettingsReadBack) {
    std::string path = dir_ / "run" / "agent.sock.state";
    EXPECT_EQ(load_saved_state(path).value(), std::nullopt);
    ASSERT_TRUE(store_saved_state(path, some_state()));
    auto read = load_saved_state(path);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(to_json(**read), to_json(some_state()));
    EXPECT_EQ((*read)->totals, some_state().totals);
    remove_saved_state(path);
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(Upgrade, SavedSettingsOfOthersAreRefused) {
    auto good = to_json(some_state());
    for (const auto& [name, value] : good.items()) {
        auto bad = good;
        bad.erase(name);
        EXPECT_FALSE(saved_state_from(bad)) << name;
        bad[name] = nlohmann::json::array({"x"});
        EXPECT_FALSE(saved_state_from(bad)) << name;
    }
    auto newer = good;
    newer["version"] = 2;
    EXPECT_EQ(saved_state_from(newer).error().message, "version 2 is not 1");
    std::ofstream(dir_ / "f") << "not json";
    EXPECT_FALSE(load_saved_state(dir_ / "f"));
}

TEST(AgentHandover, TrialRunsSayWhyNot) {
    EXPECT_TRUE(try_out({"/bin/true"}));
    EXPECT_NE(try_out({"/nonexistent"}).error().message.find("cannot run /nonexistent"),
              std::string::npos);
    EXPECT_EQ(try_out({"/bin/sh", "-c", "echo one; echo two >&2; exit 3"}).error().message,
              "/bin/sh would not start: two");
    EXPECT_EQ(try_out({"/bin/false"}).error().message,
              "/bin/false would not start: it says nothing");
}

// Writes what hand_over() would, as a descriptor's number.
std::string written(const nlohmann::json& object) {
    int fd = memfd_create("test", 0);
    auto text = object.dump();
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return std::to_string(fd);
}

TEST(AgentHandover, ReceivesDescriptorsAndClosesThemForOthers) {
    int lock = open("/dev/null", O_RDONLY);
    int listener = open("/dev/null", O_RDONLY);
    int link = open("/dev/null", O_RDONLY);
    auto received = receive_handover(written({{"version", 1},
                                              {"lock", lock},
                                              {"listener", listener},
                                              {"device", nullptr},
                                              {"device_path", ""},
                                              {"steer", {link}},
                                              {"flows", nlohmann::json::object()},
                                              {"state", nullptr},
                                              {"upgrades", 4}}));
    ASSERT_TRUE(received) << received.error().message;
    EXPECT_EQ(received->lock.get(), lock);
    EXPECT_EQ(received->steer.at(0).get(), link);
    EXPECT_EQ(received->upgrades, 4);
    EXPECT_EQ(fcntl(link, F_GETFD), FD_CLOEXEC);
    EXPECT_FALSE(received->device);
}

TEST(AgentHandover, RefusesWhatIsNotOne) {
    for (const char* word : {"", "x", "-1", "1", "999", "3x"}) {
        EXPECT_FALSE(receive_handover(word)) << word;
    }
    EXPECT_FALSE(receive_handover(written(nlohmann::json::array())));
    // All of it is there, and means something else.
    int lock = open("/dev/null", O_RDONLY);
    int listener = open("/dev/null", O_RDONLY);
    auto newer =
        receive_handover(written({{"version", 2}, {"lock", lock}, {"listener", listener}}));
    ASSERT_FALSE(newer);
    EXPECT_NE(newer.error().message.find("of this kind"), std::string::npos);
    EXPECT_FALSE(receive_handover(written({{"version", 1}, {"lock", 700}, {"listener", 701}})));
}

TEST(AgentHandover, AFailedOneChangesNothing) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    HandoverPlan plan;
    plan.lock = fd;
    plan.listener = fd;
    auto error = hand_over(plan, {"/nonexistent"});
    EXPECT_NE(error.message.find("cannot run /nonexistent"), std::string::npos);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

TEST(AgentAccess, RootWritersReadersAndOthers) {
    Access access;
    access.owner = 0;
    access.readers = 10;
    access.writers = 20;
    Caller root{0, {}}, reader{1000, {5, 10}}, writer{1001, {20}}, other{1002, {30}};
    EXPECT_TRUE(access.may_read(root) && access.may_write(root));
    EXPECT_TRUE(access.may_read(reader) && !access.may_write(reader));
    EXPECT_TRUE(access.may_read(writer) && access.may_write(writer));
    EXPECT_TRUE(!access.may_read(other) && !access.may_write(other));
    access.all_read = true;
    EXPECT_TRUE(access.may_read(other) && !access.may_write(other));
    EXPECT_FALSE(Access{}.open_to_others());
}

TEST(AgentAccess, GroupsMustExist) {
    EXPECT_TRUE(resolve_access("all", "root")->all_read);
    EXPECT_EQ(*resolve_access("root", "daemon")->writers, 1U);
    EXPECT_EQ(resolve_access("root", "no-such-group").error().message,
              "control: write: there is no group 'no-such-group'");
}

TEST(AgentAccess, TheKernelSaysWhoCalls) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    auto caller = caller_of(ends[0]);
    ASSERT_TRUE(caller);
    EXPECT_EQ(caller->uid, getuid());
    EXPECT_EQ(caller->groups.at(0), getgid());
    close(ends[0]);
    close(ends[1]);
}

}  // namespace
}  // namespace smc_steer
