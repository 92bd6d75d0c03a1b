// SPDX-License-Identifier: Apache-2.0
#include "broker/server.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

#include "broker/doorbell.h"
#include "broker/notices.h"
#include "broker/wire.h"

namespace smc_steer::broker {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kNoId = -1;
constexpr auto kQuiet = 30s;

// What a client has not read stays in the kernel, descriptors among it, and they count against the
// broker's limit for descriptors in flight: a short queue per client.
constexpr int kSendBuffer = 16 << 10;

// So that somebody who connects in a loop does not keep the others waiting.
constexpr int kAcceptsAtOnce = 16;

// A QEMU whose connection just ends while it realizes the device reads on for ever, at full speed
// (seen with 7.2). An impossible id instead of its own makes it give up and say so. Two messages
// fit into a new socket; a client that is gone already needs none.
void turn_away(int socket) {
    if (send_message(socket, IVSHMEM_PROTOCOL_VERSION).value_or(false)) {
        static_cast<void>(send_message(socket, kNoId));
    }
}

}  // namespace

Server::Server(EventLoop& loop, const RegionConfig& config, Listener& listener, Region& region,
               FdStore& store)
    : loop_(loop),
      config_(config),
      listener_(listener),
      region_(region),
      ledger_(region.ledger()),
      store_(store),
      membership_(region.view(), region.ledger(), [this](uint32_t slot) { ring(slot); }) {}

Server::~Server() = default;

Result<void> Server::start() {
    auto doorbell = adopt_doorbell();
    if (!doorbell) {
        return doorbell;
    }
    if (region_.adopted()) {
        adopt_members();
    }
    auto keep_source = [](EventSource& to) {
        return [&to](EventSource source) { to = std::move(source); };
    };
    return loop_.on_io(listener_.fd(), EPOLLIN, [this](uint32_t) { on_connection(); })
        .map(keep_source(listen_source_))
        .and_then([&] {
            return loop_.on_io(doorbell_.get(), EPOLLIN, [this](uint32_t) { on_doorbell(); })
                .map(keep_source(doorbell_source_));
        })
        .and_then(
            [&] { return loop_.every(1s, [this] { on_tick(); }).map(keep_source(tick_source_)); })
        .map([this] {
            changed_ = true;
            settle();
        });
}

void Server::stop() {
    membership_.goodbye();
    for (auto& [slot, client] : clients_) {
        ring(slot);
    }
}

void Server::on_connection() {
    for (int i = 0; i < kAcceptsAtOnce; ++i) {
        auto socket = listener_.accept();
        if (!socket && socket.error().code == EAGAIN) {
            break;
        }
        if (!socket) {
            spdlog::error("region={} event=accept-failed error=\"{}\"", config_.name,
                          socket.error().message);
            pause_accepting();
            break;
        }
        auto admitted = admit(*socket);
        if (!admitted) {
            turn_away(socket->get());
            if (log_limit_.allow(Clock::now())) {
                spdlog::warn("region={} event=turned-away unlogged={} reason=\"{}\"", config_.name,
                             log_limit_.suppressed(), admitted.error().message);
            }
        }
    }
    settle();
}

// Out of descriptors, most likely. The connection stays in the backlog and would wake us at once:
// look again in a second.
void Server::pause_accepting() {
    listen_source_.reset();
    auto watch = [this] {
        auto source = loop_.on_io(listener_.fd(), EPOLLIN, [this](uint32_t) { on_connection(); });
        if (source) {
            listen_source_ = std::move(*source);
        }
    };
    auto pause = loop_.after(1s, watch);
    if (pause) {
        accept_pause_ = std::move(*pause);
    } else {
        watch();
    }
}

Result<void> Server::may_connect(const PeerProcess& process) {
    const auto& allowed = config_.allow_uids;
    if (!allowed.empty() &&
        std::find(allowed.begin(), allowed.end(), process.uid) == allowed.end()) {
        ++counts_.refused_uid;
        return fail("uid {} is not in allow_uids (pid {})", process.uid, process.pid);
    }
    for (uint32_t s = 1; s <= ledger_.slots; ++s) {
        const LedgerSlot& slot = ledger_.slot[s];
        if (slot.held != 0 && slot.pid == process.pid && slot.started == process.started) {
            ++counts_.refused_held;
            return fail("process {} was dropped and still has slot {}", process.pid, s);
        }
    }
    return {};
}

Result<void> Server::admit(UniqueFd& socket) {
    auto client = std::make_unique<Client>();
    auto process = peer_of(socket.get());
    if (!process) {
        ++counts_.refused_error;
        return forward_error(std::move(process));
    }
    auto allowed = may_connect(*process);
    if (!allowed) {
        return allowed;
    }
    client->process = std::move(*process);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
    client->socket = std::move(socket);
    auto watched = watch(*client);
    if (!watched) {
        ++counts_.refused_error;
        socket = std::move(client->socket);
        return watched;
    }
    auto slot = membership_.connect();
    if (!slot) {
        ++counts_.refused_full;
        client->source.reset();
        socket = std::move(client->socket);
        return fail("the region is full, all {} slots are taken", ledger_.slots);
    }
    auto prepared = prepare_doorbells(*slot);
    if (!prepared) {
        ++counts_.refused_error;
        membership_.disconnect(*slot);
        client->source.reset();
        socket = std::move(client->socket);
        return prepared;
    }
    client->slot = *slot;
    LedgerSlot& entry = ledger_.slot[*slot];
    entry.pid = client->process.pid;
    entry.uid = client->process.uid;
    entry.started = client->process.started;
    keep(*client);
    if (log_limit_.allow(Clock::now())) {
        spdlog::info("region={} slot={} event=connected pid={} uid={} unlogged={}", config_.name,
                     *slot, entry.pid, entry.uid, log_limit_.suppressed());
    }
    clients_[*slot] = std::move(client);
    changed_ = true;
    return {};
}

// What a former member of the slot left in them is nobody's.
Result<void> Server::prepare_doorbells(uint32_t slot) {
    auto& doorbells = doorbells_[slot];
    while (doorbells.size() < config_.vectors) {
        auto fd = make_doorbell();
        if (!fd) {
            return forward_error(std::move(fd));
        }
        store_.keep(doorbell_name(slot, doorbells.size()), fd->get());
        doorbells.push_back(std::move(*fd));
    }
    for (const auto& doorbell : doorbells) {
        if (!reset_doorbell(doorbell.get())) {
            return fail("the doorbells of slot {} block", slot);
        }
    }
    return {};
}

Result<void> Server::watch(Client& client) {
    Client* raw = &client;
    return loop_
        .on_io(client.socket.get(), EPOLLIN, [this, raw](uint32_t ev) { on_client(*raw, ev); })
        .map([raw](EventSource source) { raw->source = std::move(source); });
}

int Server::descriptor_for(const Notice& notice) const {
    switch (notice.carries) {
        case Notice::Carries::kMemory:
            return region_.fd();
        case Notice::Carries::kDoorbell:
            return notice.peer == IVPCI_BROKER_SLOT
                       ? doorbell_.get()
                       : doorbells_.at(notice.peer)[notice.vector].get();
        default:
            return -1;
    }
}

void Server::flush(Client& client) {
    bool full = false;
    while (!client.lost && !full) {
        auto notice = next_notice(ledger_, client.slot);
        if (!notice) {
            break;
        }
        LedgerSlot& entry = ledger_.slot[client.slot];
        store_release(entry.sending, 1U);
        auto sent = send_message(client.socket.get(), notice->value, descriptor_for(*notice));
        if (sent && *sent) {
            was_told(ledger_, client.slot, *notice);
        }
        store_release(entry.sending, 0U);
        if (!sent) {
            lose(client, sent.error().message, false);
            return;
        }
        full = !*sent;
    }
    if (!client.lost) {
        auto watched = client.source.set_io_events(full ? EPOLLIN | EPOLLOUT : EPOLLIN);
        if (!watched) {
            lose(client, watched.error().message, true);
        }
    }
}

void Server::on_client(Client& client, uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !client.lost) {
        // QEMU never sends: whatever can be read is the end, or not QEMU.
        char byte = 0;
        ssize_t n = recv(client.socket.get(), &byte, 1, MSG_DONTWAIT);
        if (n > 0) {
            ++counts_.violations;
            lose(client, "it sent data, which the ivshmem protocol does not have", true);
        } else if (n == 0) {
            lose(client, "QEMU disconnected", false);
        } else if (errno != EAGAIN && errno != EINTR) {
            lose(client, std::generic_category().message(errno), false);
        }
    }
    if ((events & EPOLLOUT) != 0) {
        flush(client);
    }
    settle();
}

void Server::lose(Client& client, const std::string& why, bool may_write) {
    if (log_limit_.allow(Clock::now())) {
        spdlog::info("region={} slot={} event=lost held={} unlogged={} reason=\"{}\"", config_.name,
                     client.slot, may_write, log_limit_.suppressed(), why);
    }
    client.lost = true;
    client.may_write = client.may_write || may_write;
}

void Server::drop_lost() {
    auto is_lost = [](const auto& entry) { return entry.second->lost; };
    for (auto it = std::find_if(clients_.begin(), clients_.end(), is_lost); it != clients_.end();
         it = std::find_if(clients_.begin(), clients_.end(), is_lost)) {
        // Out of the map first, so that its slot's doorbell is not rung; closed last.
        auto gone = std::move(it->second);
        clients_.erase(it);
        quiet_.erase(gone->slot);
        changed_ = true;
        if (gone->may_write) {
            membership_.hold(gone->slot);
            watch_process(gone->slot);
        } else {
            membership_.disconnect(gone->slot);
        }
        // Last: a successor that finds them without a member throws them away, one that finds a
        // member without them cannot know whether its QEMU is still there.
        forget(*gone);
    }
}

void Server::watch_process(uint32_t slot) {
    Watched watched;
    const LedgerSlot& entry = ledger_.slot[slot];
    switch (find_process(entry.pid, entry.started, watched.pidfd)) {
        case Liveness::kGone:
            on_process_gone(slot);
            return;
        case Liveness::kUnknown:
            spdlog::warn("region={} slot={} event=cannot-watch pid={}", config_.name, slot,
                         entry.pid);
            return;
        case Liveness::kThere:
            break;
    }
    auto source = loop_.on_io(watched.pidfd.get(), EPOLLIN, [this, slot](uint32_t) {
        on_process_gone(slot);
        settle();
    });
    if (source) {
        watched.source = std::move(*source);
        watched_.insert_or_assign(slot, std::move(watched));
    } else {
        spdlog::error("region={} slot={} event=cannot-watch error=\"{}\"", config_.name, slot,
                      source.error().message);
    }
}

void Server::on_process_gone(uint32_t slot) {
    spdlog::info("region={} slot={} event=process-gone pid={}", config_.name, slot,
                 ledger_.slot[slot].pid);
    watched_.erase(slot);
    if (ledger_.slot[slot].held != 0) {
        membership_.release(slot);
    } else {
        membership_.disconnect(slot);
    }
    changed_ = true;
}

void Server::on_doorbell() {
    if (!clear_doorbell(doorbell_.get())) {
        if (blocked_log_.allow(Clock::now())) {
            spdlog::warn("region={} event=doorbell-blocked unlogged={}", config_.name,
                         blocked_log_.suppressed());
        }
    }
    membership_.serve_requests();
    settle();
}

void Server::on_tick() {
    auto now = Clock::now();
    if (uint32_t words = membership_.repair(); words != 0 && repair_log_.allow(now)) {
        spdlog::warn("region={} event=header-repaired words={} unlogged={}", config_.name, words,
                     repair_log_.suppressed());
    }
    membership_.heartbeat(now);
    // A doorbell can be lost (a QEMU that stops between write and eventfd); a request must not be.
    membership_.serve_requests();
    for (uint32_t slot : membership_.silent(now)) {
        spdlog::info("region={} slot={} event=silent held=true", config_.name, slot);
        membership_.hold(slot);
        if (ledger_.slot[slot].held != 0 && watched_.count(slot) == 0) {
            watch_process(slot);
        }
        changed_ = true;
    }
    for (auto& [slot, client] : clients_) {
        auto age = membership_.silence(slot, now);
        if (!age || *age < kQuiet) {
            quiet_.erase(slot);
        } else if (quiet_.insert(slot).second) {
            // Stopped, or its driver hangs. It may go on any moment: never evicted for that.
            spdlog::warn("region={} slot={} event=quiet seconds={}", config_.name, slot,
                         std::chrono::duration_cast<std::chrono::seconds>(*age).count());
        }
    }
    changed_ = true;  // who could not be told for want of descriptors in flight
    settle();
}

void Server::ring(uint32_t slot) {
    auto client = clients_.find(slot);
    if (client == clients_.end() || client->second->lost) {
        return;
    }
    ++counts_.rings;
    if (!ring_doorbell(doorbells_.at(slot)[IVPCI_VECTOR_CONTROL].get())) {
        ++counts_.violations;
        lose(*client->second, "it made its doorbell block", true);
    }
}

void Server::settle() {
    drop_lost();
    while (changed_) {
        changed_ = false;
        for (auto& [slot, client] : clients_) {
            flush(*client);
        }
        drop_lost();
    }
    ring_later();
    if (membership_.reclaim_pending() && !reclaim_source_.active()) {
        auto source = loop_.every(100ms, [this] {
            if (!membership_.reclaim()) {
                reclaim_source_.reset();
            }
        });
        if (source) {
            reclaim_source_ = std::move(*source);
        } else {
            spdlog::error("region={} event=not-reclaiming error=\"{}\"", config_.name,
                          source.error().message);
        }
    }
}

// Without a timer the tick comes here again.
void Server::ring_later() {
    if (!membership_.must_ring_later() || late_source_.active()) {
        return;
    }
    auto source = loop_.after(kRingLater, [this] {
        late_source_.reset();
        membership_.ring_late();
        settle();
    });
    if (source) {
        late_source_ = std::move(*source);
    }
}

}  // namespace smc_steer::broker
