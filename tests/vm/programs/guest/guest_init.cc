// SPDX-License-Identifier: Apache-2.0
// guest_init: process 1 of a test guest. The root file system is the host's, read-only over 9p; a
// tmpfs over it (overlay) makes everything writable and forgets it at power-off.
//
// From the kernel's command line, as environment: STEER_NUMBER (of the guest), STEER_REPO and
// STEER_REPO_CACHE (of its mount, for 9p), STEER_MODULES (the kernel's modules, ours among them, as
// modprobe wants them), STEER_IPV4, STEER_IPV6, STEER_TRUST (for agent.yaml), STEER_SYSTEMD (1:
// Debian's systemd becomes process 1, and the exec server a service of it).
//
// guest_init exec: the exec server alone.
//
// One static program: under TCG a Python that does the same costs four seconds of CPU in each
// guest.
#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "exec_server.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kShared = "trans=virtio,version=9p2000.L,msize=262144";

struct Mount {
    const char* kind;
    const char* target;
    const char* options;
};

// Once the root file system is in place.
constexpr Mount kMounts[] = {
    {"sysfs", "/sys", ""},
    {"devtmpfs", "/dev", "mode=0755"},
    {"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", "mode=1777"},
    {"tmpfs", "/tmp", "mode=1777"},
    {"tmpfs", "/run", "mode=0755"},
    {"cgroup2", "/sys/fs/cgroup", ""},
    {"bpf", "/sys/fs/bpf", ""},
    {"debugfs", "/sys/kernel/debug", ""},
    {"tracefs", "/sys/kernel/tracing", ""},
};

void must(long result, const std::string& what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

void mount_at(const std::string& kind, const std::string& target, const std::string& options,
              const std::string& source = "", unsigned long flags = 0) {
    must(mount(source.empty() ? kind.c_str() : source.c_str(), target.c_str(), kind.c_str(), flags,
               options.c_str()),
         "mount " + target);
}

void put(const std::string& file, const std::string& text) { std::ofstream(file) << text; }

// /tmp of the shared root becomes the tmpfs, everything else is below it.
void make_root() {
    mount_at("tmpfs", "/tmp", "mode=0755");
    for (const char* name : {"upper", "work", "root", "modules", "modules-work"}) {
        must(mkdir((std::string("/tmp/") + name).c_str(), 0755), name);
    }
    mount_at("overlay", "/tmp/root", "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work");
    must(chdir("/tmp/root"), "chdir");
    must(syscall(SYS_pivot_root, ".", "mnt"), "pivot_root");
    must(chdir("/"), "chdir");
}

// Before /tmp is a tmpfs: the cache may be below it.
void make_modules(const std::string& prepared) {
    utsname system{};
    uname(&system);
    auto modules = std::string("/lib/modules/") + system.release;
    if (fs::is_directory(prepared)) {
        fs::create_directories(modules);
        // In its own tmpfs of the former root, which is at /mnt for now.
        mount_at(
            "overlay", modules,
            "lowerdir=" + prepared + ",upperdir=/mnt/tmp/modules,workdir=/mnt/tmp/modules-work");
    }
}

void mount_all(const std::string& repo, const std::string& cache) {
    mount_at("proc", "/proc", "");
    for (const auto& each : kMounts) {
        if (std::strncmp(each.target, "/dev/", 5) == 0) {
            fs::create_directories(each.target);
        }
        mount_at(each.kind, each.target, each.options);
    }
    for (const std::string& directory :
         {std::string("/run/lock"), std::string("/run/netns"), repo}) {
        fs::create_directories(directory);
    }
    mount_at("9p", repo, std::string(kShared) + ",cache=" + cache, "repo", MS_RDONLY);
    must(umount2("/mnt", MNT_DETACH), "umount /mnt");
    if (!fs::is_symlink("/dev/fd")) {
        fs::create_symlink("/proc/self/fd", "/dev/fd");
    }
}

void set_up(int fd, const char* device) {
    ifreq request{};
    std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &request);
}

void add_ipv4(int fd, const char* device, const std::string& address, int prefix) {
    ifreq request{};
    std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    inet_pton(AF_INET, address.c_str(), &name.sin_addr);
    std::memcpy(&request.ifr_addr, &name, sizeof(name));
    must(ioctl(fd, SIOCSIFADDR, &request), address);
    name.sin_addr.s_addr = htonl(prefix ? ~0U << (32 - prefix) : 0);
    std::memcpy(&request.ifr_netmask, &name, sizeof(name));
    must(ioctl(fd, SIOCSIFNETMASK, &request), "netmask");
}

// Usable at once: nobody else has it, and looking for somebody (DAD) takes a second.
void add_ipv6(const char* device, const std::string& address, int prefix) {
    put(std::string("/proc/sys/net/ipv6/conf/") + device + "/accept_dad", "0");
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    in6_ifreq request{};
    inet_pton(AF_INET6, address.c_str(), &request.ifr6_addr);
    request.ifr6_prefixlen = static_cast<unsigned>(prefix);
    request.ifr6_ifindex = static_cast<int>(if_nametoindex(device));
    must(ioctl(fd, SIOCSIFADDR, &request), address);
    close(fd);
}

void configure_network(const std::string& number, const std::string& ip4, const std::string& ip6) {
    put("/proc/sys/kernel/hostname", "guest" + number);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_up(fd, "lo");
    set_up(fd, "eth0");
    auto slash4 = ip4.find('/');
    auto slash6 = ip6.find('/');
    add_ipv4(fd, "eth0", ip4.substr(0, slash4), std::stoi(ip4.substr(slash4 + 1)));
    add_ipv6("eth0", ip6.substr(0, slash6), std::stoi(ip6.substr(slash6 + 1)));
    close(fd);
}

// Test programs run in no container.
void configure_agent(const std::string& trust) {
    fs::create_directories("/etc/smc-steer");
    put("/etc/smc-steer/agent.yaml",
        "workloads: all\n" + (trust.empty() ? "" : "trust: " + trust + "\n"));
}

void start() {
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("LANG", "C.UTF-8", 1);
    setenv("TERM", "linux", 1);
    auto repo = environment("STEER_REPO");
    make_root();
    make_modules(environment("STEER_MODULES"));
    mount_all(repo, environment("STEER_REPO_CACHE"));
    configure_network(environment("STEER_NUMBER"), environment("STEER_IPV4"),
                      environment("STEER_IPV6"));
    configure_agent(environment("STEER_TRUST"));
    if (environment("STEER_SYSTEMD") == "1") {
        auto systemd = repo + "/tests/vm/guest/systemd";
        execl(systemd.c_str(), systemd.c_str(), nullptr);
        must(-1, systemd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 2 || std::string(argv[1]) != "exec") {
            start();
        }
        guest::serve();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "guest_init: %s\n", error.what());
        return 1;
    }
}
