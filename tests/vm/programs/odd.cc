// SPDX-License-Identifier: Apache-2.0
// odd: connections whose bytes are sent and received in all the ways that programs seldom use.
// Every byte is checked. Knows nothing of what carries the connection.
//
//   odd serve PORT                            until killed
//   odd run ADDRESS PORT CONNECTIONS SECONDS
//
// Both ends take a way at random for each message. Prints one JSON object: how many messages each
// way had, at this end. Exit codes: 1 a byte is wrong, or a connection ended or stood still for 20
// s; 2 wrong command line; 3 something is missing here.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/vm/programs/lazy_memory.h"
#include "tests/vm/programs/one_uring.h"

namespace {

constexpr size_t kLargest = 192 << 10;

enum SendWay {
    kSendPlain,
    kSendMore,
    kSendCork,
    kSendFile,
    kSendSplice,
    kSendVmsplice,
    kSendZeroCopy,
    kSendMany,
    kSendUring,
    kSendLazy,
    kSendUlp,
    kSendRepair,
    kSendWays
};
constexpr std::array kSendNames{"send",     "more",     "cork",     "sendfile",
                                "splice",   "vmsplice", "zerocopy", "sendmmsg",
                                "io_uring", "lazy",     "ulp",      "repair"};
static_assert(kSendNames.size() == kSendWays);

enum ReceiveWay {
    kReceivePlain,
    kReceiveWaitAll,
    kReceivePeek,
    kReceiveSplice,
    kReceiveVector,
    kReceiveMany,
    kReceiveUring,
    kReceiveLazy,
    kReceiveLowat,
    kReceiveCounted,
    kReceiveWays
};
constexpr std::array kReceiveNames{"recv",     "waitall",  "peek", "splice",   "readv",
                                   "recvmmsg", "io_uring", "lazy", "rcvlowat", "fionread"};
static_assert(kReceiveNames.size() == kReceiveWays);

std::array<std::atomic<uint64_t>, kSendWays> sent_by;
std::array<std::atomic<uint64_t>, kReceiveWays> received_by;

[[noreturn]] void missing(const char* what) {
    std::fprintf(stderr, "odd: %s: %s\n", what, std::strerror(errno));
    std::exit(3);
}

bool set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

// What a thread needs for its ways; one for each direction of a connection.
struct Means {
    std::mt19937 random;
    int pipe[2]{};
    LazyMemory lazy{kLargest};
    OneUring uring;

    explicit Means(unsigned seed) : random(seed) {
        if (pipe2(pipe, O_CLOEXEC) < 0) {
            missing("pipe");
        }
        fcntl(pipe[1], F_SETPIPE_SZ, static_cast<int>(kLargest));
    }
    ~Means() {
        close(pipe[0]);
        close(pipe[1]);
    }
    Means(const Means&) = delete;
    Means& operator=(const Means&) = delete;
    size_t part(size_t most) { return 1 + random() % most; }
};

// `step(offset, left)` moves some of what is left: how many bytes, 0 at an end, or -1 and errno.
template <class Step>
bool all(size_t size, Step step) {
    for (size_t done = 0; done < size;) {
        errno = 0;
        const ssize_t moved = step(done, size - done);
        if (moved <= 0) {
            if (moved < 0 && errno == EINTR) {
                continue;
            }
            // The other direction's thread has it in TCP_REPAIR just now, where TCP gives nobody
            // anything.
            if (moved < 0 && errno == EPERM) {
                usleep(100);
                continue;
            }
            return false;
        }
        done += static_cast<size_t>(moved);
    }
    return true;
}

bool send_plain(int fd, const uint8_t* data, size_t size, int flags = 0) {
    return all(size, [&](size_t at, size_t left) {
        return send(fd, data + at, left, flags | MSG_NOSIGNAL);
    });
}

// In parts, each of which may say that more comes.
bool send_parts(int fd, const uint8_t* data, size_t size, Means& means, int flags) {
    return all(size, [&](size_t at, size_t left) {
        const size_t part = std::min(left, means.part(size));
        return send(fd, data + at, part, MSG_NOSIGNAL | (part < left ? flags : 0));
    });
}

bool send_file(int fd, const uint8_t* data, size_t size) {
    const int file = memfd_create("odd", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) {
        missing("memfd");
    }
    off_t offset = 0;
    const bool right =
        all(size, [&](size_t, size_t left) { return sendfile(fd, file, &offset, left); });
    close(file);
    return right;
}

bool send_pipe(int fd, const uint8_t* data, size_t size, Means& means, bool map) {
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        // less than a pipe takes: its write does not wait
        const size_t part = std::min<size_t>(left, 32 << 10);
        iovec piece{const_cast<uint8_t*>(data) + at, part};
        const ssize_t put =
            map ? vmsplice(means.pipe[1], &piece, 1, 0) : writev(means.pipe[1], &piece, 1);
        if (put <= 0) {
            return put;
        }
        const auto count = static_cast<size_t>(put);
        return all(count,
                   [&](size_t, size_t more) {
                       return splice(means.pipe[0], nullptr, fd, nullptr, more, SPLICE_F_MORE);
                   })
                   ? put
                   : -1;
    });
}

// The pages are the kernel's until its error queue says that they are ours again.
bool send_zero_copy(int fd, const uint8_t* data, size_t size) {
    uint32_t calls = 0;
    set(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
    const bool right = all(size, [&](size_t at, size_t left) {
        const ssize_t moved = send(fd, data + at, left, MSG_NOSIGNAL | MSG_ZEROCOPY);
        calls += moved > 0;
        return moved;
    });
    while (right && calls > 0) {
        std::array<char, 256> control{};
        msghdr message{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            pollfd wait{fd, 0, 0};
            if (errno != EAGAIN || poll(&wait, 1, 20000) <= 0) {
                return false;
            }
            continue;
        }
        for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
            sock_extended_err told{};
            std::memcpy(&told, CMSG_DATA(each), sizeof(told));
            if (told.ee_origin == SO_EE_ORIGIN_ZEROCOPY) {
                calls -= told.ee_data - told.ee_info + 1;
            }
        }
    }
    return right;
}

bool send_many(int fd, const uint8_t* data, size_t size, Means& means) {
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        std::array<mmsghdr, 4> messages{};
        std::array<iovec, 8> pieces{};
        size_t used = 0;
        for (size_t i = 0; i < pieces.size(); i++) {
            const size_t part = std::min(left - used, means.part(4000));
            pieces[i] = {const_cast<uint8_t*>(data) + at + used, part};
            used += part;
        }
        for (size_t i = 0; i < messages.size(); i++) {
            messages[i].msg_hdr.msg_iov = &pieces[2 * i];
            messages[i].msg_hdr.msg_iovlen = 2;
        }
        const int count = sendmmsg(fd, messages.data(), messages.size(), MSG_NOSIGNAL);
        ssize_t moved = 0;
        for (int i = 0; i < count; i++) {
            const size_t wanted = pieces[2 * i].iov_len + pieces[2 * i + 1].iov_len;
            // a short one, with others behind it, would be a hole
            if (messages[i].msg_len != wanted && i + 1 < count) {
                return -1;
            }
            moved += messages[i].msg_len;
        }
        return count < 0 ? -1 : moved;
    });
}

// kTLS is asked for, not configured: what is sent stays as it is. The second time there is one
// already.
bool send_ulp(int fd, const uint8_t* data, size_t size) {
    const size_t half = size / 2;
    if (!send_plain(fd, data, half)) {
        return false;
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) < 0 && errno != EEXIST && errno != EBUSY) {
        missing("TCP_ULP");
    }
    return send_plain(fd, data + half, size - half);
}

bool send_repair(int fd, const uint8_t* data, size_t size) {
    const size_t half = size / 2;
    if (!send_plain(fd, data, half)) {
        return false;
    }
    if (!set(fd, IPPROTO_TCP, TCP_REPAIR, 1) || !set(fd, IPPROTO_TCP, TCP_REPAIR, -1)) {
        missing("TCP_REPAIR");
    }
    return send_plain(fd, data + half, size - half);
}

bool send_cork(int fd, const uint8_t* data, size_t size, Means& means) {
    set(fd, IPPROTO_TCP, TCP_CORK, 1);
    const bool right = send_parts(fd, data, size, means, 0);
    set(fd, IPPROTO_TCP, TCP_CORK, 0);
    return right;
}

bool send_by(SendWay way, int fd, const uint8_t* data, size_t size, Means& means) {
    sent_by[way]++;
    switch (way) {
        case kSendMore:
            return send_parts(fd, data, size, means, MSG_MORE);
        case kSendCork:
            return send_cork(fd, data, size, means);
        case kSendFile:
            return send_file(fd, data, size);
        case kSendSplice:
            return send_pipe(fd, data, size, means, false);
        case kSendVmsplice:
            return send_pipe(fd, data, size, means, true);
        case kSendZeroCopy:
            return send_zero_copy(fd, data, size);
        case kSendMany:
            return send_many(fd, data, size, means);
        case kSendUring:
            return all(size, [&](size_t at, size_t left) {
                return means.uring.send(fd, data + at, left);
            });
        case kSendLazy:
            return send_plain(fd, means.lazy.of(data, size), size);
        case kSendUlp:
            return send_ulp(fd, data, size);
        case kSendRepair:
            return send_repair(fd, data, size);
        default:
            return send_plain(fd, data, size);
    }
}

bool receive_plain(int fd, uint8_t* data, size_t size, int flags = 0) {
    return all(size, [&](size_t at, size_t left) { return recv(fd, data + at, left, flags); });
}

// What was seen has to come then.
bool receive_peek(int fd, uint8_t* data, size_t size) {
    std::vector<uint8_t> seen(size);
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        const ssize_t there = recv(fd, seen.data(), left, MSG_PEEK);
        if (there <= 0) {
            return there;
        }
        const ssize_t got = recv(fd, data + at, there, 0);
        if (got != there || std::memcmp(seen.data(), data + at, got) != 0) {
            std::fprintf(stderr, "odd: %zd bytes seen, %zd read, or others\n", there, got);
            return -1;
        }
        return got;
    });
}

bool receive_splice(int fd, uint8_t* data, size_t size, Means& means) {
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        const ssize_t got =
            splice(fd, nullptr, means.pipe[1], nullptr, std::min<size_t>(left, 32 << 10), 0);
        if (got <= 0) {
            return got;
        }
        return all(got, [&](size_t done,
                            size_t more) { return read(means.pipe[0], data + at + done, more); })
                   ? got
                   : -1;
    });
}

bool receive_vector(int fd, uint8_t* data, size_t size, Means& means) {
    return all(size, [&](size_t at, size_t left) {
        std::array<iovec, 8> pieces{};
        size_t used = 0;
        for (auto& piece : pieces) {
            const size_t part = std::min(left - used, means.part(5000));
            piece = {data + at + used, part};
            used += part;
        }
        return readv(fd, pieces.data(), pieces.size());
    });
}

bool receive_many(int fd, uint8_t* data, size_t size) {
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        iovec piece{data + at, left};
        mmsghdr message{};
        message.msg_hdr.msg_iov = &piece;
        message.msg_hdr.msg_iovlen = 1;
        return recvmmsg(fd, &message, 1, 0, nullptr) < 0 ? -1
                                                         : static_cast<ssize_t>(message.msg_len);
    });
}

// Woken up when that much is there, or earlier where TCP finds it has too little memory: as it
// says, but woken up.
bool receive_lowat(int fd, uint8_t* data, size_t size) {
    const bool right = all(size, [&](size_t at, size_t left) -> ssize_t {
        set(fd, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(std::min<size_t>(left, 2000)));
        for (;;) {
            pollfd wait{fd, POLLIN, 0};
            if (poll(&wait, 1, 20000) != 1) {
                return -1;
            }
            const ssize_t got = recv(fd, data + at, left, MSG_DONTWAIT);
            if (got >= 0 || errno != EAGAIN) {
                return got;
            }
            usleep(1000);  // an event of the error queue
        }
    });
    set(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
    return right;
}

// As much as is said to be there can be had without waiting.
bool receive_counted(int fd, uint8_t* data, size_t size) {
    return all(size, [&](size_t at, size_t left) -> ssize_t {
        pollfd wait{fd, POLLIN, 0};
        int there = 0;
        if (poll(&wait, 1, 20000) != 1 || ioctl(fd, FIONREAD, &there) < 0) {
            return -1;
        }
        if (there <= 0) {
            return recv(fd, data + at, left, 0);  // an end
        }
        const size_t wanted = std::min<size_t>(left, there);
        if (!all(wanted, [&](size_t done, size_t more) {
                return recv(fd, data + at + done, more, MSG_DONTWAIT);
            })) {
            std::fprintf(stderr, "odd: FIONREAD said %d: %s\n", there, std::strerror(errno));
            return -1;
        }
        return static_cast<ssize_t>(wanted);
    });
}

bool receive_lazy(int fd, uint8_t* data, size_t size, Means& means) {
    uint8_t* memory = means.lazy.of(nullptr, size);
    const bool right = receive_plain(fd, memory, size);
    std::memcpy(data, memory, size);
    return right;
}

bool receive_by(ReceiveWay way, int fd, uint8_t* data, size_t size, Means& means) {
    received_by[way]++;
    switch (way) {
        case kReceiveWaitAll:
            return receive_plain(fd, data, size, MSG_WAITALL);
        case kReceivePeek:
            return receive_peek(fd, data, size);
        case kReceiveSplice:
            return receive_splice(fd, data, size, means);
        case kReceiveVector:
            return receive_vector(fd, data, size, means);
        case kReceiveMany:
            return receive_many(fd, data, size);
        case kReceiveUring:
            return all(size, [&](size_t at, size_t left) {
                return means.uring.receive(fd, data + at, left);
            });
        case kReceiveLazy:
            return receive_lazy(fd, data, size, means);
        case kReceiveLowat:
            return receive_lowat(fd, data, size);
        case kReceiveCounted:
            return receive_counted(fd, data, size);
        default:
            return receive_plain(fd, data, size);
    }
}

// kTLS keeps the socket to itself from the first time on, so that is seldom.
SendWay send_way(Means& means) {
    const auto way = static_cast<SendWay>(means.random() % kSendWays);
    return way == kSendUlp && means.random() % 64 ? kSendPlain : way;
}

ReceiveWay receive_way(Means& means) {
    return static_cast<ReceiveWay>(means.random() % kReceiveWays);
}

bool ended(const char* what) {
    std::fprintf(stderr, "odd: %s: %s\n", what,
                 errno ? std::strerror(errno) : "end of stream, or above");
    return false;
}

void echo(int fd, unsigned seed) {
    Means means(seed);
    std::vector<uint8_t> data(kLargest);
    uint32_t size = 0;
    while (receive_plain(fd, reinterpret_cast<uint8_t*>(&size), sizeof(size)) && size <= kLargest) {
        const ReceiveWay by = receive_way(means);
        const SendWay with = send_way(means);
        if (!receive_by(by, fd, data.data(), size, means)) {
            ended(kReceiveNames[by]);
            break;
        }
        if (!send_by(with, fd, data.data(), size, means)) {
            ended(kSendNames[with]);
            break;
        }
    }
    close(fd);
}

int serve(uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set(listener, SOL_SOCKET, SO_REUSEADDR, 1);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ||
        listen(listener, 64)) {
        missing("listen");
    }
    std::puts("listening");
    std::fflush(stdout);
    for (unsigned seed = 1;; seed++) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            std::thread(echo, fd, seed).detach();
        }
    }
}

struct Talk {
    std::atomic<uint64_t> messages{0};
    std::atomic<const char*> sending{""}, receiving{""};
    bool right = true;
};

void talk(sockaddr_in address, unsigned seed, const std::atomic<bool>& over, Talk& state) {
    Means writer(seed), reader(seed + 1000);
    std::vector<uint8_t> data(kLargest), back(kLargest);
    std::generate(data.begin(), data.end(), [&] { return static_cast<uint8_t>(writer.random()); });
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
        missing("connect");
    }
    while (state.right && !over) {
        const auto size = static_cast<uint32_t>(writer.part(writer.random() % 4 ? 3000 : kLargest));
        const uint8_t* from = data.data() + writer.random() % (kLargest - size + 1);
        const SendWay with = send_way(writer);
        const ReceiveWay by = receive_way(reader);
        state.sending = kSendNames[with];
        state.receiving = kReceiveNames[by];
        bool wrote = false;
        std::thread sender([&] {
            wrote =
                send_plain(fd, reinterpret_cast<const uint8_t*>(&size), sizeof(size), MSG_MORE) &&
                send_by(with, fd, from, size, writer);
        });
        const bool read = receive_by(by, fd, back.data(), size, reader);
        if (!read) {
            ended(kReceiveNames[by]);
            shutdown(fd, SHUT_RDWR);
        }
        sender.join();
        state.right = wrote && read;
        if (read && std::memcmp(from, back.data(), size) != 0) {
            std::fprintf(stderr, "odd: connection %u: %s, echoed, %s: a byte of %u is wrong\n",
                         seed, kSendNames[with], kReceiveNames[by], size);
            state.right = false;
        }
        state.messages++;
    }
    close(fd);
}

template <class Names, class Counts>
void print(const char* what, const Names& names, const Counts& counts) {
    std::printf("\"%s\": {", what);
    for (size_t i = 0; i < names.size(); i++) {
        std::printf("%s\"%s\": %llu", i ? ", " : "", names[i],
                    static_cast<unsigned long long>(counts[i].load()));
    }
    std::printf("}");
}

int run(const char* host, uint16_t port, unsigned connections, unsigned seconds) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        return 2;
    }
    std::atomic<bool> over{false};
    std::vector<std::unique_ptr<Talk>> states;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < connections; i++) {
        states.push_back(std::make_unique<Talk>());
        threads.emplace_back(talk, address, i + 1, std::cref(over), std::ref(*states.back()));
    }
    std::vector<uint64_t> before(connections);
    std::vector<unsigned> still(connections);
    for (unsigned second = 0; second < seconds; second++) {
        sleep(1);
        for (unsigned i = 0; i < connections; i++) {
            const uint64_t now = states[i]->messages;
            still[i] = now == before[i] ? still[i] + 1 : 0;
            before[i] = now;
            if (still[i] > 20 && states[i]->right) {
                std::fprintf(stderr, "odd: connection %u stands still: %s, echoed, %s\n", i + 1,
                             states[i]->sending.load(), states[i]->receiving.load());
                _exit(1);
            }
        }
    }
    over = true;
    bool right = true;
    uint64_t messages = 0;
    alarm(60);  // one that does not end is an error, too
    for (unsigned i = 0; i < connections; i++) {
        threads[i].join();
        right = right && states[i]->right;
        messages += states[i]->messages;
    }
    std::printf("{\"messages\": %llu, ", static_cast<unsigned long long>(messages));
    print("sent", kSendNames, sent_by);
    std::printf(", ");
    print("received", kReceiveNames, received_by);
    std::printf("}\n");
    return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    signal(SIGPIPE, SIG_IGN);
    if (mode == "serve" && argc == 3) {
        return serve(std::atoi(argv[2]));
    }
    if (mode == "run" && argc == 6) {
        return run(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]));
    }
    std::fprintf(stderr, "usage: odd serve PORT | odd run ADDRESS PORT CONNECTIONS SECONDS\n");
    return 2;
}
