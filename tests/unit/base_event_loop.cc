// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

class EventLoopTest : public ::testing::Test {
protected:
    void SetUp() override {
        auto made = EventLoop::create();
        ASSERT_TRUE(made);
        loop.emplace(std::move(*made));
        // A test whose event never comes ends with code 99 instead of hanging.
        auto limit = loop->after(5s, [this] { loop->exit(99); });
        ASSERT_TRUE(limit);
        guard = std::move(*limit);
        int pipe_fds[2];
        ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
        from = UniqueFd(pipe_fds[0]);
        to = UniqueFd(pipe_fds[1]);
    }
    std::optional<EventLoop> loop;
    EventSource guard;
    UniqueFd from, to;
};

TEST_F(EventLoopTest, ExitCodeComesBack) {
    auto soon = loop->after(1ms, [&] { loop->exit(7); });
    ASSERT_TRUE(soon);
    EXPECT_EQ(loop->run(), 7);
}

TEST_F(EventLoopTest, IoTellsTheEvents) {
    uint32_t seen = 0;
    auto source = loop->on_io(from.get(), EPOLLIN, [&](uint32_t events) {
        seen = events;
        loop->exit(0);
    });
    ASSERT_TRUE(source);
    ASSERT_EQ(write(to.get(), "x", 1), 1);
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(seen, uint32_t{EPOLLIN});
}

TEST_F(EventLoopTest, EventsCanBeChanged) {
    bool writable = false;
    auto source = loop->on_io(to.get(), 0, [&](uint32_t events) {
        writable = (events & EPOLLOUT) != 0;
        loop->exit(0);
    });
    ASSERT_TRUE(source);
    ASSERT_TRUE(source->set_io_events(EPOLLOUT));
    EXPECT_EQ(loop->run(), 0);
    EXPECT_TRUE(writable);
}

TEST_F(EventLoopTest, ADestroyedHandleIsSilent) {
    bool called = false;
    {
        auto source = loop->on_io(from.get(), EPOLLIN, [&](uint32_t) { called = true; });
        ASSERT_TRUE(source);
        ASSERT_EQ(write(to.get(), "x", 1), 1);
    }
    auto end = loop->after(20ms, [&] { loop->exit(0); });
    EXPECT_EQ(loop->run(), 0);
    EXPECT_FALSE(called);
}

// What the callback captured must live until it returns; AddressSanitizer watches.
TEST_F(EventLoopTest, ACallbackMayDestroyItsOwnHandle) {
    EventSource source;
    std::string long_enough_to_be_on_the_heap(100, 'x');
    size_t length = 0;
    auto made = loop->on_io(from.get(), EPOLLIN,
                            [&source, &length, text = long_enough_to_be_on_the_heap](uint32_t) {
                                source.reset();
                                length += text.size();
                            });
    ASSERT_TRUE(made);
    source = std::move(*made);
    ASSERT_EQ(write(to.get(), "x", 1), 1);
    auto end = loop->after(20ms, [&] { loop->exit(0); });
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(length, 100U) << "once, though the pipe stayed readable";
    EXPECT_FALSE(source.active());
}

TEST_F(EventLoopTest, EveryRepeatsAndAfterDoesNot) {
    int repeated = 0;
    int once = 0;
    auto every = loop->every(2ms, [&] {
        if (++repeated == 5) {
            loop->exit(0);
        }
    });
    auto after = loop->after(1ms, [&] { ++once; });
    ASSERT_TRUE(every && after);
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(repeated, 5);
    EXPECT_EQ(once, 1);
}

TEST_F(EventLoopTest, ARepeatedTimerCanEndItself) {
    int count = 0;
    EventSource timer;
    auto made = loop->every(1ms, [&] {
        if (++count == 3) {
            timer.reset();
        }
    });
    ASSERT_TRUE(made);
    timer = std::move(*made);
    auto end = loop->after(50ms, [&] { loop->exit(0); });
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(count, 3);
}

TEST_F(EventLoopTest, Signals) {
    int count = 0;
    auto source = loop->on_signal(SIGUSR2, [&] {
        ++count;
        loop->exit(0);
    });
    ASSERT_TRUE(source);
    raise(SIGUSR2);
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(count, 1);
}

TEST_F(EventLoopTest, InotifyNamesTheFile) {
    std::string directory = ::testing::TempDir() + "smc-steer-inotify-" + std::to_string(getpid());
    std::filesystem::create_directory(directory);
    std::string name;
    auto source = loop->on_inotify(directory, IN_CREATE, [&](const inotify_event& event) {
        name = event.name;
        loop->exit(0);
    });
    ASSERT_TRUE(source) << source.error().message;
    std::ofstream(directory + "/policy.yaml") << "x";
    EXPECT_EQ(loop->run(), 0);
    EXPECT_EQ(name, "policy.yaml");
    std::filesystem::remove_all(directory);
}

TEST_F(EventLoopTest, WhatCannotBeWatchedIsAnError) {
    auto io = loop->on_io(-1, EPOLLIN, [](uint32_t) {});
    EXPECT_FALSE(io);
    auto inotify = loop->on_inotify("/nonexistent", IN_CREATE, [](const inotify_event&) {});
    ASSERT_FALSE(inotify);
    EXPECT_EQ(inotify.error().code, ENOENT);
}

TEST(UniqueFd, OwnsAndLetsGo) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    int raw = fds[0];
    UniqueFd other(fds[1]);
    {
        UniqueFd a(raw);
        UniqueFd b(std::move(a));
        EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): that is the question
        EXPECT_EQ(b.get(), raw);
    }
    EXPECT_EQ(fcntl(raw, F_GETFD), -1) << "closed";
    int kept = other.release();
    EXPECT_FALSE(other);
    EXPECT_EQ(close(kept), 0);
}

}  // namespace
}  // namespace smc_steer
