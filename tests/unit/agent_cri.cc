// SPDX-License-Identifier: Apache-2.0
// The agent's side of CRI against a runtime in this process: one that answers, hangs, goes away,
// comes back, talks nonsense.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "agent/base/event_loop.h"
#include "agent/workloads/cri.grpc.pb.h"
#include "agent/workloads/cri_pods.h"
#include "tests/unit/directory_test.h"
#include "tests/unit/few_threads.h"

namespace smc_steer {
namespace {

namespace cri = runtime::v1;
using namespace std::chrono_literals;

class Runtime final : public cri::RuntimeService::Service {
public:
    explicit Runtime(const std::string& socket) {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("unix://" + socket, grpc::InsecureServerCredentials());
        builder.RegisterService(this);
        server_ = builder.BuildAndStart();
    }
    ~Runtime() override {
        hang(false);
        server_->Shutdown(std::chrono::system_clock::now() + 1s);
    }

    void add(const std::string& name, const std::string& annotation = "", int created = 1,
             cri::PodSandboxState state = cri::SANDBOX_READY) {
        std::lock_guard lock(mutex_);
        auto* sandbox = sandboxes_.add_items();
        sandbox->set_id("sandbox-" + name + std::to_string(created));
        sandbox->mutable_metadata()->set_name(name);
        sandbox->mutable_metadata()->set_namespace_("shop");
        sandbox->mutable_metadata()->set_uid("uid-" + name);
        sandbox->set_created_at(created);
        sandbox->set_state(state);
        (*sandbox->mutable_labels())["app"] = name;
        if (!annotation.empty()) {
            (*sandbox->mutable_annotations())[std::string(kAccelerateAnnotation)] = annotation;
        }
        auto* container = containers_.add_containers();
        container->set_id("container-" + name + std::to_string(created));
        container->set_pod_sandbox_id(sandbox->id());
        container->set_state(cri::CONTAINER_RUNNING);
    }
    void clear() {
        std::lock_guard lock(mutex_);
        sandboxes_.clear_items();
        containers_.clear_containers();
    }
    // Calls that come do not return until it is over.
    void hang(bool on) { hangs_ = on; }
    int calls() const { return calls_; }

private:
    grpc::Status answer(grpc::ServerContext* context) {
        calls_++;
        while (hangs_ && !context->IsCancelled()) {
            std::this_thread::sleep_for(1ms);
        }
        return grpc::Status::OK;
    }
    grpc::Status Version(grpc::ServerContext* context, const cri::VersionRequest*,
                         cri::VersionResponse* response) override {
        response->set_runtime_name("testd");
        response->set_runtime_version("1.0");
        return answer(context);
    }
    grpc::Status ListPodSandbox(grpc::ServerContext* context, const cri::ListPodSandboxRequest*,
                                cri::ListPodSandboxResponse* response) override {
        auto status = answer(context);
        std::lock_guard lock(mutex_);
        *response = sandboxes_;
        return status;
    }
    grpc::Status ListContainers(grpc::ServerContext* context, const cri::ListContainersRequest*,
                                cri::ListContainersResponse* response) override {
        auto status = answer(context);
        std::lock_guard lock(mutex_);
        *response = containers_;
        return status;
    }

    std::atomic<bool> hangs_{false};
    std::atomic<int> calls_{0};
    std::mutex mutex_;
    cri::ListPodSandboxResponse sandboxes_;
    cri::ListContainersResponse containers_;
    std::unique_ptr<grpc::Server> server_;
};

class AgentCri : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        auto loop = EventLoop::create();
        ASSERT_TRUE(loop);
        loop_ = std::make_unique<EventLoop>(std::move(*loop));
    }
    void TearDown() override {
        pods_.reset();
        DirectoryTest::TearDown();
    }
    std::string socket(const char* name = "cri.sock") const { return dir_ / name; }

    void start(CriTimes times) { start({socket()}, times); }
    void start(std::vector<std::string> sockets, CriTimes times) {
        auto pods = CriPods::start(
            *loop_, std::move(sockets), [this] { changes_++; }, times);
        ASSERT_TRUE(pods) << pods.error().message;
        pods_ = std::move(*pods);
    }

    // Runs the loop, once in a test: waits for each condition in turn and goes on with what comes
    // with it. Half a minute is for machines that are busy, and means failure.
    struct Step {
        std::function<bool()> when;
        std::function<void()> then = [] {};
    };
    void follow(std::vector<Step> steps) {
        std::size_t at = 0;
        int looks = 0;
        auto ticking = loop_->every(2ms, [&] {
            pods_->refresh();
            looks++;
            if (at < steps.size() && steps[at].when()) {
                steps[at++].then();
            }
            if (at == steps.size() || looks > 15000) {
                loop_->exit(0);
            }
        });
        ASSERT_TRUE(ticking);
        EXPECT_TRUE(loop_->run());
        EXPECT_EQ(at, steps.size())
            << "what step " << at << " waits for did not come; pods: " << names()
            << "; problem: " << problem();
    }
    std::string names() const {
        std::string all;
        for (const auto& pod : pods_->pods()) {
            all += (all.empty() ? "" : " ") + to_string(pod);
        }
        return all;
    }
    std::string problem() const {
        auto states = pods_->runtimes();
        return states.empty() ? "no runtime" : states[0].problem;
    }

    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<CriPods> pods_;
    int changes_ = 0;
};

constexpr CriTimes kFast{.call = 20s, .period = 2ms, .urgent = 2ms, .patience = 60s};
// A deadline that comes soon, for runtimes that hang.
constexpr CriTimes kHasty{.call = 50ms, .period = 2ms, .urgent = 2ms, .patience = 60s};

TEST_F(AgentCri, PodsAreAsTheRuntimeTells) {
    Runtime runtime(socket());
    runtime.add("web", "true");
    runtime.add("db", "false");
    runtime.add("plain");
    runtime.add("odd", "yes");
    runtime.add("gone", "", 1, cri::SANDBOX_NOTREADY);
    start(kFast);
    pods_->wait_for_first(20s);
    ASSERT_EQ(names(), "shop/db shop/odd shop/plain shop/web");
    const auto& pods = pods_->pods();
    EXPECT_EQ(pods[0].accelerate, false);
    EXPECT_EQ(pods[1].accelerate, std::nullopt);
    EXPECT_NE(pods[1].complaint.find("'yes', neither true nor false"), std::string::npos);
    EXPECT_EQ(pods[2].accelerate, std::nullopt);
    EXPECT_EQ(pods[2].complaint, "");
    EXPECT_EQ(pods[3].accelerate, true);
    EXPECT_EQ(pods[3].uid, "uid-web");
    EXPECT_EQ(pods[3].labels.at("app"), "web");
    EXPECT_EQ(pods[3].ids, (std::vector<std::string>{"container-web1", "sandbox-web1"}));
    auto states = pods_->runtimes();
    ASSERT_EQ(states.size(), 1U);
    EXPECT_EQ(states[0].runtime, "testd 1.0");
    EXPECT_EQ(states[0].problem, "");
}

TEST_F(AgentCri, ThePodsThatAreMadeAnewHaveTheirNewAnnotation) {
    Runtime runtime(socket());
    runtime.add("web", "true", 1);
    runtime.add("web", "false", 2);
    start(kFast);
    pods_->wait_for_first(20s);
    ASSERT_EQ(names(), "shop/web");
    EXPECT_EQ(pods_->pods()[0].accelerate, false);
    EXPECT_EQ(pods_->pods()[0].ids.size(), 4U);
    runtime.clear();
    runtime.add("web", "true", 3);
    follow({{[&] { return pods_->pods()[0].accelerate == true; }}});
}

TEST_F(AgentCri, WhatIsTheSameIsNoChange) {
    Runtime runtime(socket());
    runtime.add("web");
    start(kFast);
    pods_->wait_for_first(20s);
    auto calls = runtime.calls();
    follow({{[&] { return runtime.calls() > calls + 30; }}});
    EXPECT_EQ(changes_, 1);
}

// The loop of follow() runs on while calls hang, or no step would come.
TEST_F(AgentCri, OneThatHangsHoldsUpNobodyAndTakesNothingAway) {
    Runtime runtime(socket());
    runtime.add("web", "false");
    start(kHasty);
    follow({
        {[&] { return names() == "shop/web"; }, [&] { runtime.hang(true); }},
        {[&] { return problem() == "no answer within 50 ms"; },
         [&] {
             EXPECT_EQ(names(), "shop/web");
             runtime.clear();
             runtime.add("db");
             runtime.hang(false);
         }},
        {[&] { return names() == "shop/db"; }, [&] { EXPECT_EQ(problem(), ""); }},
    });
}

TEST_F(AgentCri, OneThatRestartsIsAskedAgain) {
    auto runtime = std::make_unique<Runtime>(socket());
    runtime->add("web", "false");
    start(kHasty);
    follow({
        {[&] { return names() == "shop/web"; },
         [&] {
             runtime.reset();
             std::filesystem::remove(socket());
         }},
        {[&] { return !problem().empty(); },
         [&] {
             EXPECT_EQ(names(), "shop/web");
             runtime = std::make_unique<Runtime>(socket());
             runtime->add("web", "false");
             runtime->add("new", "true");
         }},
        {[&] { return names() == "shop/new shop/web"; }},
    });
}

TEST_F(AgentCri, WhereThereWasNoRoomForAThreadItIsTriedAgain) {
    Runtime runtime(socket());
    runtime.add("web", "true");
    {
        NoMoreThreads none;
        start(kFast);
        EXPECT_NE(problem().find("cannot start a thread"), std::string::npos) << problem();
    }
    follow({{[&] { return names() == "shop/web" && problem().empty(); }}});
}

// Takes connections and answers with what is no HTTP/2.
class Nonsense {
public:
    explicit Nonsense(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(listen(fd_, 8), 0);
        thread_ = std::thread([this] {
            for (int peer; (peer = accept(fd_, nullptr, nullptr)) >= 0; close(peer)) {
                const std::string text(4096, '\xff');
                [[maybe_unused]] auto sent = send(peer, text.data(), text.size(), MSG_NOSIGNAL);
            }
        });
    }
    ~Nonsense() {
        shutdown(fd_, SHUT_RDWR);
        thread_.join();
        close(fd_);
    }

private:
    int fd_;
    std::thread thread_;
};

TEST_F(AgentCri, NonsenseIsAProblemAndTakesNothingAway) {
    auto runtime = std::make_unique<Runtime>(socket());
    runtime->add("web", "false");
    std::unique_ptr<Nonsense> nonsense;
    start(kHasty);
    follow({
        {[&] { return names() == "shop/web"; },
         [&] {
             runtime.reset();
             std::filesystem::remove(socket());
             nonsense = std::make_unique<Nonsense>(socket());
         }},
        {[&] { return !problem().empty(); }, [&] { EXPECT_EQ(names(), "shop/web"); }},
    });
}

// containerd as docker has it: the plugin for CRI is off.
TEST_F(AgentCri, OneWithoutCriSaysSo) {
    cri::RuntimeService::Service unimplemented;
    grpc::ServerBuilder plain;
    plain.AddListeningPort("unix://" + socket(), grpc::InsecureServerCredentials());
    plain.RegisterService(&unimplemented);
    auto server = plain.BuildAndStart();
    start(kFast);
    pods_->wait_for_first(20s);
    EXPECT_EQ(problem(), "does not serve CRI runtime.v1 (is the plugin off?)");
    EXPECT_EQ(names(), "");
}

TEST_F(AgentCri, TwoRuntimesTellOfOnePodOnce) {
    Runtime below(socket("a.sock")), above(socket("b.sock"));
    below.add("web");
    above.add("web");
    above.add("db");
    start({socket("a.sock"), socket("b.sock")}, kFast);
    follow({{[&] { return names() == "shop/db shop/web"; }}});
}

TEST_F(AgentCri, ARuntimeThatComesLaterIsFound) {
    std::unique_ptr<Runtime> runtime;
    start(kFast);
    EXPECT_FALSE(pods_->asks());
    runtime = std::make_unique<Runtime>(socket());
    runtime->add("web");
    follow({{[&] { return names() == "shop/web"; }}});
}

// A runtime lists a pod a while after its control group came.
TEST_F(AgentCri, WhoIsExpectedIsAskedForUntilThere) {
    Runtime runtime(socket());
    start({.call = 20s, .period = 24h, .urgent = 2ms, .patience = 24h});
    pods_->wait_for_first(20s);
    pods_->expect(true);
    int calls = runtime.calls();
    follow({
        {[&] { return runtime.calls() > calls + 10; }, [&] { runtime.add("web"); }},
        {[&] { return names() == "shop/web"; }, [&] { pods_->expect(false); }},
    });
}

TEST_F(AgentCri, OneThatHangsFromTheStartIsLeftWhenTheAgentEnds) {
    Runtime runtime(socket());
    runtime.hang(true);
    // Nobody waits for this deadline: the call is cancelled.
    start({.call = 24h, .period = 1ms, .urgent = 1ms, .patience = 1ms});
    while (runtime.calls() == 0) {
        std::this_thread::sleep_for(1ms);
    }
    pods_.reset();
}

TEST_F(AgentCri, ASocketThatNobodyServesIsNoTrouble) {
    start({socket(), socket("other.sock")}, kFast);
    EXPECT_FALSE(pods_->asks());
    pods_->wait_for_first(20s);
    pods_->expect(true);
    EXPECT_EQ(names(), "");
}

}  // namespace
}  // namespace smc_steer
