// SPDX-License-Identifier: Apache-2.0
// The broker as a child process, and the guest's half of everything: an ivshmem client that maps
// the region and does what the driver does.
#ifndef SMC_STEER_TESTS_BROKER_CLIENT_H
#define SMC_STEER_TESTS_BROKER_CLIENT_H

#include <ivpci/shm_abi.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"

namespace smc_steer::tests {

using std::chrono::milliseconds;

// Polls until `done` or the time is over; returns done().
bool eventually(const std::function<bool()>& done, milliseconds limit = milliseconds(5000));

// A directory that goes away with its contents.
class TempDir {
public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] std::string path(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

// A program with its outputs in files. Killed, by its pid, when the object goes.
class Process {
public:
    Process(std::vector<std::string> command, const TempDir& dir, const std::string& name);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) const;
    // The exit code, or 128 + signal; -1 if it has not ended in time.
    int wait(milliseconds limit = milliseconds(10000));
    [[nodiscard]] bool running();
    [[nodiscard]] std::string out() const;
    [[nodiscard]] std::string err() const;
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
    std::optional<int> code_;
    std::string out_, err_;
};

struct Message {
    int64_t value = 0;
    UniqueFd fd;
};

struct Unmap {
    size_t size = 0;
    void operator()(std::byte* base) const;
};

class Client {
public:
    // Connects; does not read yet.
    explicit Client(const std::string& path);

    // The next message; none if the connection ended or nothing came in time.
    std::optional<Message> receive(milliseconds limit = milliseconds(5000));

    // Reads the introduction up to its own last vector and maps the region. False if the broker
    // closed the connection instead.
    bool introduce(uint32_t vectors);

    // Follows connects and disconnects until `done`.
    bool follow(const std::function<bool()>& done, milliseconds limit = milliseconds(5000));

    // Waits for its own doorbell.
    bool rung(uint32_t vector, milliseconds limit = milliseconds(5000));
    void ring(uint32_t peer, uint32_t vector);

    // The driver's JOIN and other requests; the answer, or none if it did not come.
    std::optional<uint32_t> join();
    std::optional<uint32_t> request(uint32_t op, uint32_t arg = 0);

    void close();

    [[nodiscard]] ivpci_header& header() const {
        return *reinterpret_cast<ivpci_header*>(region_.get());
    }
    [[nodiscard]] const volatile ivpci_slot& slot(uint32_t number) const {
        return header().slot[number];
    }
    [[nodiscard]] const volatile ivpci_slot& own() const { return slot(id); }
    [[nodiscard]] volatile uint32_t& lease(uint32_t chunk) const {
        return reinterpret_cast<volatile uint32_t*>(region_.get() + layout.lease_off)[chunk];
    }
    [[nodiscard]] ivpci_ctl& ctl() const {
        return *reinterpret_cast<ivpci_ctl*>(region_.get() + ivpci_area(&layout, id));
    }
    [[nodiscard]] volatile uint32_t& claim(uint32_t owner, uint32_t index) const;
    [[nodiscard]] int socket() const { return socket_.get(); }
    [[nodiscard]] int region_fd() const { return region_fd_.get(); }

    uint32_t id = 0;
    ivpci_layout layout{};
    std::vector<int64_t> order;                       // values of the introduction
    std::map<uint32_t, std::vector<UniqueFd>> peers;  // by id, by vector; own too

private:
    void take(Message message);
    UniqueFd socket_;
    UniqueFd region_fd_;
    std::unique_ptr<std::byte, Unmap> region_;
};

}  // namespace smc_steer::tests

#endif  // SMC_STEER_TESTS_BROKER_CLIENT_H
