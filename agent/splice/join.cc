// SPDX-License-Identifier: Apache-2.0
#include "agent/splice/join.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/clock.h"
#include "agent/kernel/join_socket.h"

namespace smc_steer {
namespace {

constexpr std::ptrdiff_t kWouldBlock = -1;
constexpr std::ptrdiff_t kFailed = -2;
constexpr int kBuffersInARow = 8;  // then it is another connection's turn
constexpr int kKeepaliveSeconds = 30;
constexpr int kLargeBuffer = 64 << 10;  // bytes; a short connection has none of more

// On: closing it is a reset, also when the kernel does so because we died.
void reset_on_close(int fd, bool on) {
    linger value{on ? 1 : 0, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value));
}

// Bytes that wait here for room at the peer.
int unsent(int wire) {
    int bytes = 0;
    return ioctl(wire, SIOCOUTQNSD, &bytes) == 0 ? bytes : 0;
}

}  // namespace

Join::Join(Poller& poller, Scratch& scratch, Moved& moved, UniqueFd local, UniqueFd wire, Kind kind,
           std::function<void(Join&)> on_end)
    : poller_(poller),
      scratch_(scratch),
      moved_(moved),
      local_(*this, std::move(local)),
      wire_(*this, std::move(wire)),
      kind_(kind),
      on_end_(std::move(on_end)),
      up_raw_(kind.form == Form::raw),
      down_raw_(kind.form == Form::raw) {}

Result<void> Join::start() {
    const int yes = 1;
    setsockopt(local_.fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    // A kernel with too many orphans forgets sockets that were closed; a reset that says so may be
    // lost, over the loopback interface too.
    setsockopt(local_.fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveSeconds,
               sizeof(kKeepaliveSeconds));
    setsockopt(local_.fd.get(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
    // An urgent byte is carried as any other.
    setsockopt(local_.fd.get(), SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes));
    reset_on_close(local_.fd.get(), true);
    if (auto done = poller_.watch(local_.fd.get(), local_); !done) {
        return done;
    }
    return poller_.watch(wire_.fd.get(), wire_);
}

void Join::Side::on_events(std::uint32_t events) {
    if (join.ended_ || !fd) {
        return;
    }
    readable = readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    writable = writable || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    hung_up = hung_up || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if ((events & EPOLLPRI) && this == &join.wire_ && join.kind_.form == Form::framed) {
        join.break_off();
        return;
    }
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
        if (join.carried_ && (events & EPOLLHUP)) {
            join.finish();
            return;
        }
    }
    join.pump();
}

void Join::on_events(std::uint32_t /*events*/) {
    if (!ended_) {
        pump();
    }
}

std::ptrdiff_t Join::receive(Side& side, std::uint8_t* to, std::size_t size, int flags) {
    auto got = recv(side.fd.get(), to, size, MSG_DONTWAIT | flags);
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            side.readable = side.hung_up && errno == EINTR;
            return kWouldBlock;
        }
        return kFailed;
    }
    // A short read has emptied it, and what comes later is another edge. An end that came before
    // this read is none.
    if (static_cast<std::size_t>(got) < size && !side.hung_up && flags == 0) {
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

// Of one that the kernel carries on only the end of both is known.
void Join::has_ended() { ended_ns_ = ended_ns_ != 0 ? ended_ns_ : monotonic_ns(); }

Join::Step Join::end_up() {
    has_ended();
    if (up_raw_) {
        // SMC's shutdown() would wait here for the peer to take what is there, for two seconds, and
        // then end it all the same.
        up_.ended = true;
        if (unsent(wire_.fd.get()) == 0) {
            shutdown(wire_.fd.get(), SHUT_WR);
            up_.done = true;
        }
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
    let_kernel_send();
    if (!up_.pending.empty() || !local_.readable) {
        return Step::wait;
    }
    if (sends_ == Sends::directly) {
        return send_late();
    }
    std::size_t room = up_raw_ ? 0 : kFrameHeader;
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
    has_moved(got);
    count_sent(size);
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

// What still comes of who was inside of TCP. Others wait until it is taken: so it is sent before.
Join::Step Join::send_late() {
    if (!wire_.writable) {
        return Step::wait;
    }
    auto got = receive(local_, scratch_.data(), scratch_.size(), MSG_PEEK);
    if (got == kWouldBlock) {
        return Step::wait;
    }
    if (got == 0) {
        return end_up();
    }
    auto sent = got > 0 ? send(wire_, scratch_.data(), static_cast<std::size_t>(got)) : kFailed;
    if (sent == kFailed) {
        return Step::over;
    }
    if (sent > 0) {
        count_sent(static_cast<std::uint64_t>(sent));
        receive(local_, scratch_.data(), static_cast<std::size_t>(sent), MSG_TRUNC);
    }
    return Step::more;
}

Join::Step Join::deliver_end() {
    has_ended();
    shutdown(local_.fd.get(), SHUT_WR);
    down_.done = true;
    return Step::wait;
}

std::size_t Join::deliver(Bytes bytes, Step& step) {
    std::size_t at = 0;
    step = Step::more;
    while (at < bytes.size() && step == Step::more) {
        auto size = bytes.size() - at;
        if (!down_raw_ && frame_left_ == 0) {
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
            down_raw_ = frame->kind == FrameKind::direct;
            frame_left_ = frame->length;
            continue;
        }
        if (!local_.writable) {
            step = Step::wait;
            return at;
        }
        size = down_raw_ ? size : std::min(size, frame_left_);
        auto sent = send(local_, bytes.data() + at, size);
        if (sent == kFailed) {
            step = Step::over;
        } else if (sent > 0) {
            at += static_cast<std::size_t>(sent);
            count_received(static_cast<std::uint64_t>(sent));
            frame_left_ -= down_raw_ ? 0 : static_cast<std::size_t>(sent);
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
    if (let_kernel_receive() || !wire_.readable) {
        return Step::wait;
    }
    auto before = pending.size();
    auto got = receive(wire_, scratch_.data() + before, scratch_.size() - before);
    if (got == kWouldBlock) {
        return Step::wait;
    }
    if (got == kFailed || (got == 0 && (!down_raw_ || wire_.broken))) {
        return Step::over;
    }
    if (got == 0) {
        return deliver_end();
    }
    has_moved(got);
    if (before != 0) {
        std::memcpy(scratch_.data(), pending.data(), before);
        pending.clear();
    }
    auto all = Bytes(scratch_).first(before + static_cast<std::size_t>(got));
    auto taken = deliver(all, step);
    pending.assign(all.begin() + static_cast<std::ptrdiff_t>(taken), all.end());
    return step;
}

void Join::count_sent(std::uint64_t bytes) {
    moved_.sent += bytes;
    bytes_ += bytes;
}

void Join::count_received(std::uint64_t bytes) {
    moved_.received += bytes;
    bytes_ += bytes;
}

bool Join::is_short() const { return buffers_ < kind_.after; }

void Join::has_moved(std::ptrdiff_t size) {
    if (is_short()) {
        buffers_ = size > kLargeBuffer ? kind_.after : buffers_ + 1;
    }
}

// Nothing of what the program has sent is here when this is called.
void Join::let_kernel_send() {
    if (sends_ == Sends::here && kind_.in_kernel && !is_short()) {
        kind_.in_kernel = join_begin(local_.fd.get());
        sends_ = kind_.in_kernel ? Sends::looked_for : sends_;
    }
    auto done = JoinStep::later;
    if (sends_ == Sends::looked_for) {
        done = join_prepare(local_.fd.get());
        sends_ = done == JoinStep::done ? Sends::found : sends_;
    }
    if (sends_ == Sends::found) {
        if (!std::exchange(up_raw_, true)) {
            up_.pending.resize(kFrameHeader);
            encode_frame(FrameKind::direct, 0, up_.pending.data());
        }
        if (flush_up() != Step::more) {
            return;
        }
        done = join_send(local_.fd.get(), wire_.fd.get(), kind_.form == Form::framed);
        sends_ = done == JoinStep::done ? Sends::directly : sends_;
    }
    if (done == JoinStep::never) {
        sends_ = Sends::here;
        kind_.in_kernel = false;
    }
}

// Nothing of what it is to receive is here when this is called.
bool Join::let_kernel_receive() {
    if (!down_raw_ || sends_ != Sends::directly || up_.ended || !down_.pending.empty() ||
        join_receive(local_.fd.get()) != JoinStep::done) {
        return false;
    }
    // The kernel has it now, and ends it.
    poller_.unwatch(wire_.fd.get());
    wire_.fd.reset();
    carried_ = true;
    moved_.carried++;
    return true;
}

void Join::count() {
    if (sends_ != Sends::directly || !local_.fd) {
        return;
    }
    if (auto bytes = joined_bytes(local_.fd.get())) {
        count_sent(bytes->sent - std::exchange(counted_sent_, bytes->sent));
        count_received(bytes->received - std::exchange(counted_received_, bytes->received));
    }
}

void Join::tick() {
    // A wire that is to be ended, and has not sent all yet.
    if (up_raw_ && up_.ended && !up_.done && !ended_) {
        poller_.again(*this);
    }
}

void Join::pump() {
    for (int i = 0; i < kBuffersInARow && !carried_; i++) {
        auto up = send_up();
        auto down = up == Step::over ? Step::over : send_down();
        if (up == Step::over || down == Step::over) {
            break_off();
            return;
        }
        if (carried_) {
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
    if (!carried_) {
        poller_.again(*this);
    }
}

void Join::finish() { close(false); }

void Join::break_off() {
    broken_off_ = true;
    close(true);
}

// One that was broken off. Programs cannot be told; agents, and kernels that carry it on, can.
void Join::end_wire() {
    const char reset = 0;
    if (kind_.form == Form::raw) {
        reset_on_close(wire_.fd.get(), true);
    } else if (up_raw_ && !up_.done && !wire_.hung_up &&
               ::send(wire_.fd.get(), &reset, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
        reset_ = std::move(wire_.fd);
    }
    wire_.fd.reset();
}

void Join::close(bool reset_local) {
    if (std::exchange(ended_, true)) {
        return;
    }
    has_ended();
    count();
    reset_on_close(local_.fd.get(), reset_local);
    poller_.unwatch(local_.fd.get());
    local_.fd.reset();
    if (wire_.fd) {
        poller_.unwatch(wire_.fd.get());
    }
    if (broken_off_ && wire_.fd) {
        end_wire();
    }
    if (up_raw_ || down_raw_) {
        wire_.fd.reset();
    }
    on_end_(*this);
    wire_.fd.reset();
}

std::vector<std::uint8_t> Join::take_rest() {
    return {down_.pending.begin() + static_cast<std::ptrdiff_t>(down_.at), down_.pending.end()};
}

}  // namespace smc_steer
