// SPDX-License-Identifier: Apache-2.0
#include "agent/workloads/cri_runtime.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <memory>

#include "agent/base/result.h"
#include "agent/base/thread.h"
#include "agent/workloads/cri.grpc.pb.h"

namespace smc_steer {
namespace {

namespace cri = runtime::v1;

constexpr int kAnswerMost = 16 << 20;  // bytes, as the kubelet has it
constexpr std::size_t kTextMost = 512;

// Names end up in logs and on terminals.
std::string printable(std::string text) {
    text.resize(std::min(text.size(), kTextMost));
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return text;
}

std::string problem_of(const grpc::Status& status, std::chrono::milliseconds patience) {
    switch (status.error_code()) {
        case grpc::StatusCode::DEADLINE_EXCEEDED:
            return fmt::format("no answer within {} ms", patience.count());
        case grpc::StatusCode::UNIMPLEMENTED:
            return "does not serve CRI runtime.v1 (is the plugin off?)";
        default:
            return printable(status.error_message());
    }
}

Pod pod_of(const cri::PodSandbox& sandbox) {
    Pod pod;
    pod.space = printable(sandbox.metadata().namespace_());
    pod.name = printable(sandbox.metadata().name());
    pod.uid = sandbox.metadata().uid();
    pod.labels.insert(sandbox.labels().begin(), sandbox.labels().end());
    auto annotation = sandbox.annotations().find(std::string(kAccelerateAnnotation));
    if (annotation != sandbox.annotations().end()) {
        pod.accelerate = parse_accelerate(annotation->second);
        if (!pod.accelerate) {
            pod.complaint =
                fmt::format("annotation {} is '{}', neither true nor false: the default applies",
                            kAccelerateAnnotation, printable(annotation->second));
        }
    }
    return pod;
}

// One pod for each UID: of several sandboxes the newest speaks for it.
std::vector<Pod> pods_of(const cri::ListPodSandboxResponse& sandboxes,
                         const cri::ListContainersResponse& containers) {
    std::map<std::string, Pod> pods;  // by UID; by the sandbox's id where there is none
    std::map<std::string, std::int64_t> created;
    std::map<std::string, std::string> pod_of_sandbox;
    for (const auto& sandbox : sandboxes.items()) {
        if (sandbox.state() != cri::SANDBOX_READY) {
            continue;
        }
        const auto& uid = sandbox.metadata().uid();
        const auto& key = uid.empty() ? sandbox.id() : uid;
        pod_of_sandbox[sandbox.id()] = key;
        auto ids = pods.contains(key) ? pods[key].ids : std::vector<std::string>{};
        if (auto newest = created.find(key);
            newest == created.end() || newest->second < sandbox.created_at()) {
            created[key] = sandbox.created_at();
            pods[key] = pod_of(sandbox);
        }
        ids.push_back(sandbox.id());
        pods[key].ids = std::move(ids);
    }
    for (const auto& container : containers.containers()) {
        auto sandbox = pod_of_sandbox.find(container.pod_sandbox_id());
        if (sandbox != pod_of_sandbox.end() && container.state() != cri::CONTAINER_EXITED) {
            pods[sandbox->second].ids.push_back(container.id());
        }
    }
    std::vector<Pod> list;
    list.reserve(pods.size());
    for (auto& [key, pod] : pods) {
        // A list in another order is no news.
        std::sort(pod.ids.begin(), pod.ids.end());
        list.push_back(std::move(pod));
    }
    return list;
}

}  // namespace

CriRuntime::CriRuntime(std::string socket, CriTimes times, std::function<void()> on_news)
    : socket_(std::move(socket)), times_(times), on_news_(std::move(on_news)) {
    state_.socket = socket_;
    start();
}

void CriRuntime::start() {
    if (thread_.joinable()) {
        return;
    }
    auto thread = start_thread([this] { run(); });
    if (thread) {
        thread_ = std::move(*thread);
    } else {
        std::lock_guard lock(mutex_);
        state_.problem = thread.error().message;
    }
}

CriRuntime::~CriRuntime() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
        if (call_) {
            call_->TryCancel();
        }
    }
    wake_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void CriRuntime::ask() {
    {
        std::lock_guard lock(mutex_);
        asked_ = true;
    }
    wake_.notify_one();
}

CriState CriRuntime::state() const {
    std::lock_guard lock(mutex_);
    return state_;
}

void CriRuntime::run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        wake_.wait_for(lock, times_.period, [this] { return asked_ || stop_; });
        if (stop_) {
            return;
        }
        asked_ = false;
        auto before = state_;
        lock.unlock();
        auto after = round(before);
        lock.lock();
        bool news = after != before;
        state_ = std::move(after);
        if (news && !stop_) {
            lock.unlock();
            on_news_();
            lock.lock();
        }
    }
}

// A connection for each round: one that hangs, or whose runtime was replaced, is not asked twice.
CriState CriRuntime::round(CriState state) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kAnswerMost);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    auto stub = cri::RuntimeService::NewStub(grpc::CreateCustomChannel(
        "unix://" + socket_, grpc::InsecureChannelCredentials(), arguments));

    auto call = [&](auto method, const auto& question, auto& answer) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + times_.call);
        {
            std::lock_guard lock(mutex_);
            if (stop_) {
                return grpc::Status::CANCELLED;
            }
            call_ = &context;
        }
        auto status = (stub.get()->*method)(&context, question, &answer);
        std::lock_guard lock(mutex_);
        call_ = nullptr;
        return status;
    };

    cri::VersionResponse version;
    cri::ListPodSandboxResponse sandboxes;
    cri::ListContainersResponse containers;
    auto status = call(&cri::RuntimeService::Stub::Version, cri::VersionRequest(), version);
    if (status.ok()) {
        state.runtime =
            printable(fmt::format("{} {}", version.runtime_name(), version.runtime_version()));
        status = call(&cri::RuntimeService::Stub::ListPodSandbox, cri::ListPodSandboxRequest(),
                      sandboxes);
    }
    if (status.ok()) {
        status = call(&cri::RuntimeService::Stub::ListContainers, cri::ListContainersRequest(),
                      containers);
    }
    if (status.ok()) {
        state.problem.clear();
        state.pods = pods_of(sandboxes, containers);
    } else {
        state.problem = problem_of(status, times_.call);
    }
    return state;
}

}  // namespace smc_steer
