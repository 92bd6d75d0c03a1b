// SPDX-License-Identifier: Apache-2.0
// The tree of control groups, here of plain directories: inotify tells of both alike. That
// cgroupfs does is what the guests' tests show.
#include <poll.h>

#include <fstream>

#include "agent/workloads/cgroup_watch.h"
#include "agent/workloads/coverage.h"
#include "agent/workloads/machine.h"
#include "tests/unit/directory_test.h"

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

class AgentCgroupWatch : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        fs::create_directories(dir_ / "system.slice/a.service");
        watch_ = std::make_unique<CgroupWatch>(dir_);
        watch_->scan();
    }
    static std::string paths(const std::vector<NewCgroup>& found) {
        std::string all;
        for (const auto& cgroup : found) {
            all += (all.empty() ? "" : " ") + cgroup.cgroup.path;
        }
        return all;
    }
    // inotify's events are there when the call that made them returns.
    bool readable() const {
        pollfd fd{watch_->fd(), POLLIN, 0};
        return poll(&fd, 1, 0) == 1;
    }
    void expect_the_truth() const {
        auto truth = list_cgroups(dir_);
        auto known = watch_->list();
        auto less = [](const CgroupEntry& a, const CgroupEntry& b) { return a.path < b.path; };
        std::sort(truth.begin(), truth.end(), less);
        EXPECT_EQ(known, truth);
    }
    std::unique_ptr<CgroupWatch> watch_;
};

TEST_F(AgentCgroupWatch, KnowsWhatIsThere) {
    expect_the_truth();
    EXPECT_EQ(watch_->list().size(), 3U);
    EXPECT_EQ(watch_->unwatched(), 0U);
    EXPECT_FALSE(readable());
}

TEST_F(AgentCgroupWatch, TellsOfNewOnesAtOnceWithAllThatIsBelow) {
    fs::create_directories(dir_ / "kubepods/pod1/c1");
    ASSERT_TRUE(readable());
    auto found = watch_->read_events();
    EXPECT_EQ(paths(found), "/kubepods /kubepods/pod1 /kubepods/pod1/c1");
    EXPECT_GT(found[0].since_ns, 0U);
    expect_the_truth();
    fs::create_directory(dir_ / "kubepods/pod1/c1/nested");
    EXPECT_EQ(paths(watch_->read_events()), "/kubepods/pod1/c1/nested");
    fs::create_directory(dir_ / "system.slice/a.service/b");
    EXPECT_EQ(paths(watch_->read_events()), "/system.slice/a.service/b");
    expect_the_truth();
}

TEST_F(AgentCgroupWatch, ForgetsTheGoneAndKnowsTheSameNameAnew) {
    fs::create_directories(dir_ / "kubepods/pod1/c1");
    watch_->read_events();
    fs::remove_all(dir_ / "kubepods");
    EXPECT_EQ(paths(watch_->read_events()), "");
    expect_the_truth();
    fs::create_directories(dir_ / "kubepods/pod1");
    fs::remove(dir_ / "kubepods/pod1");
    fs::create_directories(dir_ / "kubepods/pod1/c2");
    watch_->read_events();
    expect_the_truth();
    fs::create_directory(dir_ / "kubepods/pod1/c2/x");
    EXPECT_EQ(paths(watch_->read_events()), "/kubepods/pod1/c2/x");
}

TEST_F(AgentCgroupWatch, AScanFindsWhatNoEventTold) {
    fs::create_directories(dir_ / "kubepods/pod1");
    fs::remove_all(dir_ / "system.slice");
    EXPECT_EQ(paths(watch_->scan()), "/kubepods /kubepods/pod1");
    expect_the_truth();
    // The events that still wait are about nothing new.
    EXPECT_EQ(paths(watch_->read_events()), "");
    expect_the_truth();
}

TEST_F(AgentCgroupWatch, FilesAndLinksAreNone) {
    std::ofstream(dir_ / "cgroup.procs") << "1\n";
    fs::create_directory_symlink(dir_ / "system.slice", dir_ / "link");
    EXPECT_EQ(paths(watch_->read_events()), "");
    EXPECT_EQ(paths(watch_->scan()), "");
}

TEST_F(AgentCgroupWatch, ManyAtOnceAreAllFound) {
    for (int i = 0; i < 400; i++) {
        fs::create_directory(dir_ / ("c" + std::to_string(i)));
    }
    auto found = watch_->read_events();
    EXPECT_EQ(found.size(), 400U);
    for (int i = 0; i < 400; i++) {
        fs::remove(dir_ / ("c" + std::to_string(i)));
    }
    watch_->read_events();
    expect_the_truth();
}

TEST(AgentCoverage, TimesFallIntoBuckets) {
    Coverage coverage;
    coverage.add(0);
    coverage.add(1'000'000);
    coverage.add(1'000'001);
    coverage.add(700'000'000);
    coverage.add_inside();
    EXPECT_EQ(coverage.count(), 4U);
    EXPECT_EQ(coverage.counts()[0], 2U);
    EXPECT_EQ(coverage.counts()[1], 1U);
    EXPECT_EQ(coverage.counts().back(), 1U);
    EXPECT_EQ(coverage.most_ns(), 700'000'000U);
    EXPECT_EQ(coverage.sum_ns(), 702'000'001U);
    EXPECT_EQ(coverage.inside(), 1U);
}

}  // namespace
}  // namespace smc_steer
