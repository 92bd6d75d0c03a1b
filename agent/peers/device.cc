// SPDX-License-Identifier: Apache-2.0
#include "agent/peers/device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>

namespace smc_steer {

std::vector<std::string> list_devices(const std::string& directory) {
    constexpr std::string_view kPrefix = "ivpci";
    std::map<unsigned, std::string> by_number;
    std::error_code ignored;
    std::filesystem::directory_iterator it(directory, ignored), end;
    for (; it != end; it.increment(ignored)) {
        std::string name = it->path().filename();
        if (!name.starts_with(kPrefix)) {
            continue;
        }
        unsigned number = 0;
        const char* last = name.data() + name.size();
        auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), last, number);
        if (error == std::errc{} && stop == last) {
            by_number[number] = it->path();
        }
    }
    std::vector<std::string> paths;
    paths.reserve(by_number.size());
    for (auto& [number, path] : by_number) {
        paths.push_back(std::move(path));
    }
    return paths;
}

namespace {

// A device that a container may see and not open is one that it does not have.
Result<std::string> allowed(std::string path) {
    if (access(path.c_str(), R_OK | W_OK) != 0 && errno == EPERM) {
        return fail_errno(EPERM, "{}: the device control group of this container does not allow it",
                          path);
    }
    return path;
}

}  // namespace

Result<std::string> find_device(const std::string& wanted) {
    if (wanted != "auto") {
        if (access(wanted.c_str(), F_OK) == 0) {
            return allowed(wanted);
        }
        return fail(
            "no device {}: is ivpci loaded ('modprobe ivpci') and the ivshmem device there?",
            wanted);
    }
    auto devices = list_devices();
    if (!devices.empty()) {
        return allowed(std::move(devices.front()));
    }
    if (access("/sys/module/ivpci", F_OK) != 0) {
        return fail("module ivpci is not loaded: 'modprobe ivpci' loads it");
    }
    return fail(
        "no /dev/ivpci*: this guest has no ivshmem-doorbell device that ivpci serves; start the "
        "guest with one, connected to the host's ivpci-broker");
}

Result<Device> Device::open(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) {
        return fail_errno(errno, "{}: cannot open", path);
    }
    return take_over(path, std::move(fd));
}

Result<Device> Device::take_over(const std::string& path, UniqueFd fd) {
    ivpci_info info{};
    if (ioctl(fd.get(), IVPCI_IOC_INFO, &info) != 0) {
        return fail_errno(errno, "{}: no information", path);
    }
    if (info.version != IVPCI_SHM_VERSION) {
        return fail(
            "{}: ivpci speaks version {} of the shared memory, this agent {}: update the "
            "older one",
            path, info.version, IVPCI_SHM_VERSION);
    }

    auto bulletin = Mapping::map(fd.get(), sizeof(ivpci_bulletin), true, IVPCI_MMAP_BULLETIN);
    if (!bulletin && bulletin.error().code == EBUSY) {
        return fail_errno(EBUSY, "{}: another smc-agent serves it", path);
    }
    if (!bulletin) {
        return forward_error(std::move(bulletin), path + ": bulletin");
    }

    ivpci_layout layout;
    if (ivpci_layout_init(&layout, info.size, info.slots) != 0) {
        return fail("{}: a region of {} bytes with {} slots does not exist", path, info.size,
                    info.slots);
    }
    auto region = Mapping::map(fd.get(), layout.chunk_off, false, IVPCI_MMAP_REGION);
    if (!region) {
        return forward_error(std::move(region), path + ": region");
    }
    auto view = view_region(region->get(), info.size, info.slots);
    if (!view) {
        return forward_error(std::move(view), path);
    }
    return Device(path, std::move(fd), std::move(*bulletin), std::move(*region), *view);
}

Result<ivpci_info> Device::info() const {
    ivpci_info info{};
    if (ioctl(fd_.get(), IVPCI_IOC_INFO, &info) != 0) {
        return fail_errno(errno, "{}: no information", path_);
    }
    return info;
}

Result<ivpci_stats> Device::stats() const {
    ivpci_stats stats{};
    if (ioctl(fd_.get(), IVPCI_IOC_STATS, &stats) != 0) {
        return fail_errno(errno, "{}: no counters", path_);
    }
    return stats;
}

Result<void> Device::publish(const Bulletin& bulletin) {
    write_bulletin(*static_cast<ivpci_bulletin*>(bulletin_.get()), bulletin);
    if (ioctl(fd_.get(), IVPCI_IOC_PUBLISH) != 0) {
        return fail_errno(errno, "{}: cannot ring the peers", path_);
    }
    return {};
}

}  // namespace smc_steer
