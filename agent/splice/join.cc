// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/join.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace smc_steer {
namespace {

constexpr std::ptrdiff_t kWouldBlock = -1;
constexpr std::ptrdiff_t kFailed = -2;
constexpr int kBuffersInARow = 8;  // then it is another connection's turn

// On: closing it is a reset, also when the kernel does so because we died.
void reset_on_close(int fd, bool on) {
    linger value{on ? 1 : 0, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value));
}

}  // namespace

Join::Join(Poller& poller, Scratch& scratch, Moved& moved, UniqueFd local, UniqueFd wire, Form form,
           std::function<void(Join&)> on_end)
    : poller_(poller),
      scratch_(scratch),
      moved_(moved),
      local_(*this, std::move(local)),
      wire_(*this, std::move(wire)),
      form_(form),
      on_end_(std::move(on_end)) {}

Result<void> Join::start() {
    const int yes = 1;
    setsockopt(local_.fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    // An urgent byte is carried as any other.
    setsockopt(local_.fd.get(), SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes));
    reset_on_close(local_.fd.get(), true);
    if (auto done = poller_.watch(local_.fd.get(), local_); !done) {
        return done;
    }
    return poller_.watch(wire_.fd.get(), wire_);
}

void Join::Side::on_events(std::uint32_t events) {
    if (join.ended_) {
        return;
    }
    readable = readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    writable = writable || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    hung_up = hung_up || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (events & (EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t length = sizeof(error);
        if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) {
            // What was received before is still to be delivered from the wire.
            broken = true;
            if (this == &join.local_ || join.down_.done) {
                join.break_off();
                return;
            }
        }
    }
    join.pump();
}

void Join::on_events(std::uint32_t /*events*/) {
    if (!ended_) {
        pump();
    }
}

std::ptrdiff_t Join::receive(Side& side, std::uint8_t* to, std::size_t size) {
    auto got = recv(side.fd.get(), to, size, MSG_DONTWAIT);
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            side.readable = side.hung_up && errno == EINTR;
            return kWouldBlock;
        }
        return kFailed;
    }
    // A short read has emptied it, and what comes later is another edge. An end that came before
    // this read is none.
    if (static_cast<std::size_t>(got) < size && !side.hung_up) {
        side.readable = false;
    }
    return got;
}

std::ptrdiff_t Join::send(Side& side, const std::uint8_t* from, std::size_t size) {
    auto sent = ::send(side.fd.get(), from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            side.writable = false;
            return kWouldBlock;
        }
        return kFailed;
    }
    // Short or not: SMC wakes a writer only who was told EAGAIN.
    return sent;
}

Join::Step Join::flush_up() {
    while (up_.at < up_.pending.size()) {
        if (!wire_.writable) {
            return Step::wait;
        }
        auto sent = send(wire_, up_.pending.data() + up_.at, up_.pending.size() - up_.at);
        if (sent == kFailed) {
            return Step::over;
        }
        up_.at += sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
    up_.pending.clear();
    up_.at = 0;
    return Step::more;
}

Join::Step Join::end_up() {
    if (form_ == Form::raw) {
        shutdown(wire_.fd.get(), SHUT_WR);
        up_.done = true;
        return Step::wait;
    }
    if (!std::exchange(up_.ended, true)) {
        up_.pending.resize(kFrameHeader);
        encode_frame(FrameKind::end, 0, up_.pending.data());
    }
    auto step = flush_up();
    up_.done = step == Step::more;
    return step == Step::more ? Step::wait : step;
}

// One buffer from the program to the wire.
Join::Step Join::send_up() {
    if (up_.done) {
        return Step::wait;
    }
    if (up_.ended) {
        return end_up();
    }
    if (auto step = flush_up(); step != Step::more) {
        return step;
    }
    if (!local_.readable) {
        return Step::wait;
    }
    std::size_t room = form_ == Form::framed ? kFrameHeader : 0;
    auto got = receive(local_, scratch_.data() + room, scratch_.size() - room);
    if (got == kWouldBlock) {
        return Step::wait;
    }
    if (got == kFailed) {
        return Step::over;
    }
    if (got == 0) {
        return end_up();
    }
    auto size = static_cast<std::size_t>(got);
    moved_.sent += size;
    if (room != 0) {
        encode_frame(FrameKind::data, size, scratch_.data());
        size += room;
    }
    std::ptrdiff_t sent = wire_.writable ? send(wire_, scratch_.data(), size) : 0;
    if (sent == kFailed) {
        return Step::over;
    }
    auto at = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    up_.pending.assign(scratch_.begin() + static_cast<std::ptrdiff_t>(at),
                       scratch_.begin() + static_cast<std::ptrdiff_t>(size));
    return flush_up();
}

Join::Step Join::deliver_end() {
    shutdown(local_.fd.get(), SHUT_WR);
    down_.done = true;
    return Step::wait;
}

std::size_t Join::deliver(Bytes bytes, Step& step) {
    std::size_t at = 0;
    step = Step::more;
    while (at < bytes.size() && step == Step::more) {
        auto size = bytes.size() - at;
        if (form_ == Form::framed && frame_left_ == 0) {
            if (size < kFrameHeader) {
                return at;
            }
            auto frame = decode_frame(bytes.subspan(at, kFrameHeader));
            if (!frame) {
                step = Step::over;
                return at;
            }
            at += kFrameHeader;
            if (frame->kind == FrameKind::end) {
                step = deliver_end();
                return at;
            }
            frame_left_ = frame->length;
            continue;
        }
        if (!local_.writable) {
            step = Step::wait;
            return at;
        }
        size = form_ == Form::framed ? std::min(size, frame_left_) : size;
        auto sent = send(local_, bytes.data() + at, size);
        if (sent == kFailed) {
            step = Step::over;
        } else if (sent > 0) {
            at += static_cast<std::size_t>(sent);
            moved_.received += static_cast<std::uint64_t>(sent);
            frame_left_ -= form_ == Form::framed ? static_cast<std::size_t>(sent) : 0;
        }
    }
    return at;
}

// One buffer from the wire to the program.
Join::Step Join::send_down() {
    if (down_.done) {
        return Step::wait;
    }
    auto step = Step::more;
    auto& pending = down_.pending;
    if (!pending.empty()) {
        down_.at += deliver(Bytes(pending).subspan(down_.at), step);
        auto left = pending.size() - down_.at;
        if (step != Step::more) {
            return step;
        }
        // Part of a frame's header, if anything: it goes before what is read now.
        std::memcpy(scratch_.data(), pending.data() + down_.at, left);
        pending.clear();
        down_.at = 0;
        if (left != 0) {
            pending.assign(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(left));
        }
    }
    if (!wire_.readable) {
        return Step::wait;
    }
    auto before = pending.size();
    auto got = receive(wire_, scratch_.data() + before, scratch_.size() - before);
    if (got == kWouldBlock) {
        return Step::wait;
    }
    if (got == kFailed || (got == 0 && (form_ == Form::framed || wire_.broken))) {
        return Step::over;
    }
    if (got == 0) {
        return deliver_end();
    }
    if (before != 0) {
        std::memcpy(scratch_.data(), pending.data(), before);
        pending.clear();
    }
    auto all = Bytes(scratch_).first(before + static_cast<std::size_t>(got));
    auto taken = deliver(all, step);
    pending.assign(all.begin() + static_cast<std::ptrdiff_t>(taken), all.end());
    return step;
}

void Join::pump() {
    for (int i = 0; i < kBuffersInARow; i++) {
        auto up = send_up();
        auto down = up == Step::over ? Step::over : send_down();
        if (up == Step::over || down == Step::over) {
            break_off();
            return;
        }
        if (up_.done && down_.done) {
            finish();
            return;
        }
        if (up == Step::wait && down == Step::wait) {
            return;
        }
    }
    poller_.again(*this);
}

void Join::finish() { close(false, false); }

void Join::break_off() {
    broken_off_ = true;
    close(true, form_ == Form::raw);
}

void Join::close(bool reset_local, bool reset_wire) {
    if (std::exchange(ended_, true)) {
        return;
    }
    reset_on_close(local_.fd.get(), reset_local);
    if (reset_wire) {
        reset_on_close(wire_.fd.get(), true);
    }
    local_.fd.reset();
    poller_.unwatch(wire_.fd.get());
    if (broken_off_ || form_ == Form::raw) {
        wire_.fd.reset();
    }
    on_end_(*this);
    wire_.fd.reset();
}

std::vector<std::uint8_t> Join::take_rest() {
    return {down_.pending.begin() + static_cast<std::ptrdiff_t>(down_.at), down_.pending.end()};
}

}  // namespace smc_steer
