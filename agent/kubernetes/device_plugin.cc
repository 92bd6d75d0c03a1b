// SPDX-License-Identifier: Apache-2.0
#include "agent/kubernetes/device_plugin.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

namespace smc_steer {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// A stream whose client went away is noticed after this long at most.
constexpr auto kLook = 500ms;

// "smc-steer.io/ivpci" -> "smc-steer.io_ivpci.sock"
std::string socket_name(std::string resource) {
    std::replace(resource.begin(), resource.end(), '/', '_');
    return resource + ".sock";
}

}  // namespace

std::set<std::string> list_ivpci(const std::string& dev) {
    std::set<std::string> found;
    std::error_code error;
    constexpr std::string_view kPrefix = "ivpci";
    for (fs::directory_iterator it(dev, error), end; !error && it != end; it.increment(error)) {
        auto name = it->path().filename().string();
        if (name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
            std::all_of(name.begin() + kPrefix.size(), name.end(),
                        [](char c) { return c >= '0' && c <= '9'; })) {
            found.insert(name);
        }
    }
    return found;
}

DevicePlugin::DevicePlugin(DevicePluginOptions options)
    : options_(std::move(options)), socket_(socket_name(options_.resource)) {}

DevicePlugin::~DevicePlugin() { stop(); }

void DevicePlugin::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (server_) {
        server_->Shutdown(std::chrono::system_clock::now() + 1s);
        server_.reset();
    }
    std::lock_guard lock(mutex_);
    stopping_ = false;
}

Result<bool> DevicePlugin::tick() {
    auto devices = list_ivpci(options_.dev);
    {
        std::lock_guard lock(mutex_);
        if (devices != devices_) {
            devices_ = std::move(devices);
            version_++;
        }
    }
    changed_.notify_all();
    if (server_ && access((options_.directory + "/" + socket_).c_str(), F_OK) == 0) {
        return false;
    }
    stop();
    if (auto done = serve(); !done) {
        return tl::unexpected(done.error());
    }
    if (auto done = register_with_kubelet(); !done) {
        stop();  // and once more from the start
        return tl::unexpected(done.error());
    }
    return true;
}

Result<void> DevicePlugin::serve() {
    auto path = options_.directory + "/" + socket_;
    unlink(path.c_str());  // of a plugin that was killed
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix://" + path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (!server_) {
        return fail("{}: cannot listen; is this kubelet's directory, and are we root?", path);
    }
    return {};
}

Result<void> DevicePlugin::register_with_kubelet() {
    auto path = options_.directory + "/kubelet.sock";
    auto kubelet = v1beta1::Registration::NewStub(
        grpc::CreateChannel("unix://" + path, grpc::InsecureChannelCredentials()));
    v1beta1::RegisterRequest request;
    request.set_version("v1beta1");
    request.set_endpoint(socket_);
    request.set_resource_name(options_.resource);
    request.mutable_options();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    v1beta1::Empty nothing;
    if (auto status = kubelet->Register(&context, request, &nothing); !status.ok()) {
        return fail("{}: kubelet does not register {}: {}", path, options_.resource,
                    status.error_message());
    }
    return {};
}

grpc::Status DevicePlugin::GetDevicePluginOptions(grpc::ServerContext*, const v1beta1::Empty*,
                                                  v1beta1::DevicePluginOptions*) {
    return grpc::Status::OK;  // neither is wanted
}

grpc::Status DevicePlugin::ListAndWatch(grpc::ServerContext* context, const v1beta1::Empty*,
                                        grpc::ServerWriter<v1beta1::ListAndWatchResponse>* writer) {
    std::unique_lock lock(mutex_);
    for (;;) {
        auto told = version_;
        v1beta1::ListAndWatchResponse response;
        for (const auto& name : devices_) {
            auto* device = response.add_devices();
            device->set_id(name);
            device->set_health("Healthy");
        }
        lock.unlock();
        if (!writer->Write(response)) {
            return grpc::Status::OK;
        }
        lock.lock();
        while (version_ == told) {
            if (stopping_ || context->IsCancelled()) {
                return grpc::Status::OK;
            }
            changed_.wait_for(lock, kLook);
        }
    }
}

grpc::Status DevicePlugin::Allocate(grpc::ServerContext*, const v1beta1::AllocateRequest* request,
                                    v1beta1::AllocateResponse* response) {
    std::lock_guard lock(mutex_);
    for (const auto& container : request->container_requests()) {
        auto* answer = response->add_container_responses();
        for (const auto& name : container.devices_ids()) {
            if (!devices_.contains(name)) {
                return {grpc::StatusCode::NOT_FOUND, "no device " + name + " here (any more)"};
            }
            auto* device = answer->add_devices();
            device->set_host_path("/dev/" + name);
            device->set_container_path("/dev/" + name);
            device->set_permissions("rw");
        }
        // The direct path's, where its module is loaded: there is one, whatever devices there are.
        if (access((options_.dev + "/tcp_ivpci").c_str(), F_OK) == 0) {
            auto* device = answer->add_devices();
            device->set_host_path("/dev/tcp_ivpci");
            device->set_container_path("/dev/tcp_ivpci");
            device->set_permissions("rw");
        }
    }
    return grpc::Status::OK;
}

}  // namespace smc_steer
