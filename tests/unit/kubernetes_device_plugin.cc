// SPDX-License-Identifier: Apache-2.0
// The device plugin and a kubelet that is played here, over gRPC on real sockets.
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "agent/kubernetes/device_plugin.h"
#include "tests/unit/directory_test.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

// kubelet's end of registration.
class Kubelet final : public v1beta1::Registration::Service {
public:
    explicit Kubelet(const std::string& directory) {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("unix://" + directory + "/kubelet.sock",
                                 grpc::InsecureServerCredentials());
        builder.RegisterService(this);
        server_ = builder.BuildAndStart();
    }
    ~Kubelet() override { server_->Shutdown(std::chrono::system_clock::now()); }

    grpc::Status Register(grpc::ServerContext*, const v1beta1::RegisterRequest* request,
                          v1beta1::Empty*) override {
        requests.push_back(*request);
        return refuse ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not this one")
                      : grpc::Status::OK;
    }

    std::vector<v1beta1::RegisterRequest> requests;
    bool refuse = false;

private:
    std::unique_ptr<grpc::Server> server_;
};

class DevicePluginTest : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        dev_ = path("dev");
        std::filesystem::create_directory(dev_);
        touch("ivpci0");
        touch("ivpci10");
        for (const char* other : {"ivpci", "ivpcix", "ivpci0a", "null"}) {
            touch(other);
        }
        plugin_ = std::make_unique<DevicePlugin>(
            DevicePluginOptions{"smc-steer.io/ivpci", directory(), dev_});
    }

    std::string directory() const { return dir_.string(); }
    std::string path(const std::string& name) const { return (dir_ / name).string(); }
    void touch(const std::string& name) { std::ofstream(dev_ + "/" + name) << ""; }

    std::unique_ptr<v1beta1::DevicePlugin::Stub> stub() {
        return v1beta1::DevicePlugin::NewStub(grpc::CreateChannel(
            "unix://" + path("smc-steer.io_ivpci.sock"), grpc::InsecureChannelCredentials()));
    }

    std::string dev_;
    std::unique_ptr<DevicePlugin> plugin_;
};

std::string names(const v1beta1::ListAndWatchResponse& response) {
    std::string text;
    for (const auto& device : response.devices()) {
        text += device.id() + ":" + device.health() + " ";
    }
    return text;
}

TEST_F(DevicePluginTest, RegistersOnceAndAgainWhenKubeletForgot) {
    Kubelet kubelet(directory());
    auto first = plugin_->tick();
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_TRUE(*first);
    ASSERT_EQ(kubelet.requests.size(), 1U);
    EXPECT_EQ(kubelet.requests[0].version(), "v1beta1");
    EXPECT_EQ(kubelet.requests[0].endpoint(), "smc-steer.io_ivpci.sock");
    EXPECT_EQ(kubelet.requests[0].resource_name(), "smc-steer.io/ivpci");
    EXPECT_FALSE(*plugin_->tick());
    EXPECT_EQ(kubelet.requests.size(), 1U);
    // What kubelet does to the directory when it starts.
    std::filesystem::remove(path("smc-steer.io_ivpci.sock"));
    auto again = plugin_->tick();
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(*again);
    EXPECT_EQ(kubelet.requests.size(), 2U);
}

TEST_F(DevicePluginTest, TellsOfDevicesAndOfChanges) {
    Kubelet kubelet(directory());
    ASSERT_TRUE(plugin_->tick());
    auto client = stub();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 30s);
    auto stream = client->ListAndWatch(&context, {});
    v1beta1::ListAndWatchResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(names(response), "ivpci0:Healthy ivpci10:Healthy ");
    std::filesystem::remove(dev_ + "/ivpci0");
    ASSERT_TRUE(plugin_->tick());
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(names(response), "ivpci10:Healthy ");
    // The end of the plugin ends the stream.
    auto end = std::async(std::launch::async, [&] { return stream->Read(&response); });
    plugin_.reset();
    EXPECT_FALSE(end.get());
}

TEST_F(DevicePluginTest, AllocatesTheDeviceAndNothingElse) {
    Kubelet kubelet(directory());
    ASSERT_TRUE(plugin_->tick());
    auto client = stub();
    v1beta1::AllocateRequest request;
    request.add_container_requests()->add_devices_ids("ivpci10");
    v1beta1::AllocateResponse response;
    grpc::ClientContext context;
    auto status = client->Allocate(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.container_responses_size(), 1);
    ASSERT_EQ(response.container_responses(0).devices_size(), 1);
    const auto& device = response.container_responses(0).devices(0);
    EXPECT_EQ(device.host_path(), "/dev/ivpci10");
    EXPECT_EQ(device.container_path(), "/dev/ivpci10");
    EXPECT_EQ(device.permissions(), "rw");

    // and the direct path's, where it is loaded
    touch("tcp_ivpci");
    grpc::ClientContext beside;
    v1beta1::AllocateResponse both;
    ASSERT_TRUE(client->Allocate(&beside, request, &both).ok());
    ASSERT_EQ(both.container_responses(0).devices_size(), 2);
    EXPECT_EQ(both.container_responses(0).devices(1).host_path(), "/dev/tcp_ivpci");

    for (const char* wrong : {"ivpci3", "null", "../mem", ""}) {
        v1beta1::AllocateRequest other;
        other.add_container_requests()->add_devices_ids(wrong);
        grpc::ClientContext another;
        EXPECT_EQ(client->Allocate(&another, other, &response).error_code(),
                  grpc::StatusCode::NOT_FOUND)
            << wrong;
    }
}

TEST_F(DevicePluginTest, SaysWhatIsWrongAndTriesAgain) {
    auto alone = plugin_->tick();
    ASSERT_FALSE(alone);
    EXPECT_NE(alone.error().message.find("kubelet does not register smc-steer.io/ivpci"),
              std::string::npos)
        << alone.error().message;
    Kubelet kubelet(directory());
    kubelet.refuse = true;
    auto refused = plugin_->tick();
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("not this one"), std::string::npos)
        << refused.error().message;
    kubelet.refuse = false;
    auto good = plugin_->tick();
    ASSERT_TRUE(good) << good.error().message;
    EXPECT_TRUE(*good);
}

}  // namespace
}  // namespace smc_steer
