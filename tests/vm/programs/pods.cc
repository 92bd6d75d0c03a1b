// SPDX-License-Identifier: Apache-2.0
// A kubelet as small as can be: runs, stops and lists pods of one container each through CRI.
//
//   pods run              reads descriptions from standard input, one JSON object a line, starts
//   the
//                         pods one after the other, prints what became of each as it is known
//   pods stop POD...      ends and removes them (sandbox ids)
//   pods list             all that the runtime knows
//   pods exec CONTAINER WORD...   runs a program in a container; its exit code is ours
//
// A description: {"namespace", "name", "uid", "image", "command": [...], "annotations": {},
// "labels": {}, "host_network": false}. Control groups are named as a kubelet does it:
// /kubepods/besteffort/podUID. The runtime's socket is in CONTAINER_RUNTIME_ENDPOINT.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/workloads/cri.grpc.pb.h"

namespace {

using nlohmann::json;
namespace cri = runtime::v1;

constexpr auto kPatience = std::chrono::seconds(120);
constexpr auto kExecPatience = std::chrono::hours(1);
const std::string kCgroups = "/sys/fs/cgroup";
constexpr const char* kDefaultEndpoint = "unix:///run/containerd/containerd.sock";

class Kubelet {
public:
    explicit Kubelet(const std::string& endpoint)
        : runtime_(cri::RuntimeService::NewStub(
              grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()))) {}

    json run(const json& pod) {
        cri::RunPodSandboxRequest request;
        *request.mutable_config() = sandbox_config(pod);
        auto sandbox = call(&Stub::RunPodSandbox, request).pod_sandbox_id();

        cri::CreateContainerRequest create;
        create.set_pod_sandbox_id(sandbox);
        *create.mutable_sandbox_config() = request.config();
        auto& config = *create.mutable_config();
        config.mutable_metadata()->set_name("main");
        config.mutable_image()->set_image(pod.at("image").get<std::string>());
        for (const auto& word : pod.at("command")) {
            config.add_command(word.get<std::string>());
        }
        auto& labels = *config.mutable_labels();
        labels["io.kubernetes.container.name"] = "main";
        add_kubelet_labels(pod, labels);
        config.set_log_path("main.log");
        *config.mutable_linux()->mutable_security_context()->mutable_namespace_options() =
            namespaces(pod);
        auto container = call(&Stub::CreateContainer, create).container_id();

        cri::StartContainerRequest start;
        start.set_container_id(container);
        call(&Stub::StartContainer, start);

        cri::PodSandboxStatusRequest ask;
        ask.set_pod_sandbox_id(sandbox);
        ask.set_verbose(true);
        auto answer = call(&Stub::PodSandboxStatus, ask);
        const auto& network = answer.status().network();
        json addresses = json::array();
        if (!network.ip().empty()) {
            addresses.push_back(network.ip());
        }
        for (const auto& more : network.additional_ips()) {
            addresses.push_back(more.ip());
        }
        return {{"pod", sandbox},
                {"container", container},
                {"addresses", addresses},
                {"netns", netns_of(answer.info())}};
    }

    void stop(const std::string& sandbox) {
        cri::PodSandboxStatusRequest ask;
        ask.set_pod_sandbox_id(sandbox);
        auto uid = call(&Stub::PodSandboxStatus, ask).status().metadata().uid();
        cri::StopPodSandboxRequest stop;
        stop.set_pod_sandbox_id(sandbox);
        call(&Stub::StopPodSandbox, stop);
        cri::RemovePodSandboxRequest remove;
        remove.set_pod_sandbox_id(sandbox);
        call(&Stub::RemovePodSandbox, remove);
        // The pod's own control group is the kubelet's.
        if (rmdir((kCgroups + cgroup_parent(uid)).c_str()) != 0) {
            std::perror("pods: cannot remove a pod's control group");
            std::exit(1);
        }
    }

    json list() {
        json pods = json::array();
        auto answer = call(&Stub::ListPodSandbox, cri::ListPodSandboxRequest());
        for (const auto& pod : answer.items()) {
            pods.push_back({{"pod", pod.id()},
                            {"namespace", pod.metadata().namespace_()},
                            {"name", pod.metadata().name()},
                            {"ready", pod.state() == cri::SANDBOX_READY}});
        }
        return pods;
    }

    int exec(const std::string& container, char** words) {
        cri::ExecSyncRequest request;
        request.set_container_id(container);
        for (; *words; words++) {
            request.add_cmd(*words);
        }
        auto answer = call(&Stub::ExecSync, request, kExecPatience);
        std::cout << answer.stdout() << std::flush;
        std::cerr << answer.stderr() << std::flush;
        return answer.exit_code();
    }

private:
    using Stub = cri::RuntimeService::Stub;

    // Ends the program where the runtime says no.
    template <typename Request, typename Response>
    Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, std::chrono::seconds patience = kPatience) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + patience);
        context.set_wait_for_ready(true);
        Response response;
        auto status = ((*runtime_).*method)(&context, request, &response);
        if (!status.ok()) {
            std::cerr << "pods: " << request.GetTypeName() << ": " << status.error_message()
                      << '\n';
            std::exit(1);
        }
        return response;
    }

    // The name `ip netns` knows it by; containerd says it in words of its own.
    static std::string netns_of(const google::protobuf::Map<std::string, std::string>& info) {
        auto entry = info.find("info");
        if (entry == info.end()) {
            return "";
        }
        auto told = json::parse(entry->second);
        for (const auto& each : told.at("/runtimeSpec/linux/namespaces"_json_pointer)) {
            auto path = each.value("path", "");
            if (each.value("type", "") == "network" && path.find("/netns/") != path.npos) {
                return path.substr(path.rfind('/') + 1);
            }
        }
        return "";
    }

    static std::string cgroup_parent(const std::string& uid) {
        return "/kubepods/besteffort/pod" + uid;
    }

    static cri::NamespaceOption namespaces(const json& pod) {
        cri::NamespaceOption options;
        options.set_network(pod.value("host_network", false) ? cri::NODE : cri::POD);
        options.set_pid(cri::CONTAINER);
        options.set_ipc(cri::POD);
        return options;
    }

    using Texts = google::protobuf::Map<std::string, std::string>;

    static void copy(const json& pod, const char* key, Texts& out) {
        if (pod.contains(key)) {
            for (const auto& [name, text] : pod.at(key).items()) {
                out[name] = text.get<std::string>();
            }
        }
    }

    static void add_kubelet_labels(const json& pod, Texts& labels) {
        labels["io.kubernetes.pod.name"] = pod.at("name").get<std::string>();
        labels["io.kubernetes.pod.namespace"] = pod.at("namespace").get<std::string>();
        labels["io.kubernetes.pod.uid"] = pod.at("uid").get<std::string>();
    }

    static cri::PodSandboxConfig sandbox_config(const json& pod) {
        cri::PodSandboxConfig config;
        auto uid = pod.at("uid").get<std::string>();
        auto& metadata = *config.mutable_metadata();
        metadata.set_name(pod.at("name").get<std::string>());
        metadata.set_namespace_(pod.at("namespace").get<std::string>());
        metadata.set_uid(uid);
        config.set_log_directory("/run/pods/" + uid);
        copy(pod, "labels", *config.mutable_labels());
        add_kubelet_labels(pod, *config.mutable_labels());
        copy(pod, "annotations", *config.mutable_annotations());
        auto& host = *config.mutable_linux();
        host.set_cgroup_parent(cgroup_parent(uid));
        *host.mutable_security_context()->mutable_namespace_options() = namespaces(pod);
        if (!pod.value("host_network", false)) {
            config.set_hostname(metadata.name());
        }
        return config;
    }

    std::unique_ptr<Stub> runtime_;
};

int usage() {
    std::cerr << "usage: pods run | stop POD... | list | exec CONTAINER WORD...\n";
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    const char* endpoint = std::getenv("CONTAINER_RUNTIME_ENDPOINT");
    Kubelet kubelet(endpoint ? endpoint : kDefaultEndpoint);
    std::string verb = argc > 1 ? argv[1] : "";
    if (verb == "run" && argc == 2) {
        for (std::string line; std::getline(std::cin, line);) {
            std::cout << kubelet.run(json::parse(line)).dump() << std::endl;
        }
    } else if (verb == "stop") {
        for (int i = 2; i < argc; i++) {
            kubelet.stop(argv[i]);
        }
    } else if (verb == "list" && argc == 2) {
        std::cout << kubelet.list().dump() << '\n';
    } else if (verb == "exec" && argc > 3) {
        return kubelet.exec(argv[2], argv + 3);
    } else {
        return usage();
    }
    return 0;
}
