// SPDX-License-Identifier: Apache-2.0
// kubelet's device plugin API: offers each /dev/ivpciN of the node as one unit of a resource, and
// names the device to the container runtime when a pod asks for it. It opens no device.
#ifndef SMC_STEER_AGENT_KUBERNETES_DEVICE_PLUGIN_H
#define SMC_STEER_AGENT_KUBERNETES_DEVICE_PLUGIN_H

#include <grpcpp/server.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "agent/base/result.h"
#include "agent/kubernetes/device_plugin.grpc.pb.h"

namespace smc_steer {

struct DevicePluginOptions {
    std::string resource = "smc-steer.io/ivpci";
    std::string directory = "/var/lib/kubelet/device-plugins";  // kubelet.sock is there
    std::string dev = "/dev";                                   // where devices are looked for
};

// "ivpci0", ... in that directory.
std::set<std::string> list_ivpci(const std::string& dev);

class DevicePlugin final : public v1beta1::DevicePlugin::Service {
public:
    explicit DevicePlugin(DevicePluginOptions options);
    ~DevicePlugin() override;
    DevicePlugin(const DevicePlugin&) = delete;
    DevicePlugin& operator=(const DevicePlugin&) = delete;

    // To be called every second or so. Looks at the devices, and registers (again) where kubelet
    // does not know us: it forgets, and removes all sockets of its directory, when it restarts.
    // Value: it registered just now.
    Result<bool> tick();

    grpc::Status GetDevicePluginOptions(grpc::ServerContext*, const v1beta1::Empty*,
                                        v1beta1::DevicePluginOptions*) override;
    grpc::Status ListAndWatch(grpc::ServerContext* context, const v1beta1::Empty*,
                              grpc::ServerWriter<v1beta1::ListAndWatchResponse>* writer) override;
    grpc::Status Allocate(grpc::ServerContext*, const v1beta1::AllocateRequest* request,
                          v1beta1::AllocateResponse* response) override;

private:
    Result<void> serve();
    Result<void> register_with_kubelet();
    void stop();

    const DevicePluginOptions options_;
    const std::string socket_;  // its name
    std::mutex mutex_;          // over what follows, but for server_: gRPC's threads read it
    std::condition_variable changed_;
    std::set<std::string> devices_;
    unsigned version_ = 0;  // of devices_
    bool stopping_ = false;
    std::unique_ptr<grpc::Server> server_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KUBERNETES_DEVICE_PLUGIN_H
