// SPDX-License-Identifier: Apache-2.0
#include "broker/server.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <chrono>

#include "broker/identity.h"

namespace smc_steer::broker {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kNoId = -1;

// A QEMU whose connection just ends while it realizes the device reads on for ever, at full speed
// (seen with 7.2). An impossible id instead of its own makes it give up and say so.
void turn_away(int socket) {
    Outbox outbox(2);
    if (outbox.push(IVSHMEM_PROTOCOL_VERSION) && outbox.push(kNoId)) {
        // Two messages fit into a new socket; a client that is gone already needs none.
        static_cast<void>(outbox.flush(socket));
    }
}

Result<SharedFd> make_eventfd() {
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
        return fail_errno("eventfd");
    }
    return std::make_shared<const UniqueFd>(std::move(fd));
}

uint64_t hash_of(const RegionView& view) {
    Uuid uuid;
    std::copy(std::begin(view.header().uuid), std::end(view.header().uuid), uuid.begin());
    return region_hash(uuid);
}

}  // namespace

Server::Server(EventLoop& loop, Listener& listener, const Region& region, uint32_t vectors)
    : loop_(loop),
      listener_(listener),
      region_(region),
      vectors_(vectors),
      membership_(region.view(), hash_of(region.view()), [this](uint32_t slot) { ring(slot); }) {}

Server::~Server() = default;

Result<void> Server::start() {
    UniqueFd region_fd(fcntl(region_.fd(), F_DUPFD_CLOEXEC, 0));
    if (!region_fd) {
        return fail_errno("dup");
    }
    region_fd_ = std::make_shared<const UniqueFd>(std::move(region_fd));
    auto doorbell = make_eventfd();
    if (!doorbell) {
        return forward_error(std::move(doorbell));
    }
    doorbell_ = *doorbell;

    auto keep = [](EventSource& to) {
        return [&to](EventSource source) { to = std::move(source); };
    };
    return loop_.on_io(listener_.fd(), EPOLLIN, [this](uint32_t) { on_connection(); })
        .map(keep(listen_source_))
        .and_then([&] {
            return loop_.on_io(doorbell_->get(), EPOLLIN, [this](uint32_t) { on_doorbell(); })
                .map(keep(doorbell_source_));
        })
        .and_then([&] {
            return loop_
                .every(1s,
                       [this] {
                           membership_.heartbeat();
                           // A doorbell can be lost (a QEMU that stops between write and
                           // eventfd); a request must not be.
                           membership_.serve_requests();
                           after_change();
                       })
                .map(keep(heartbeat_source_));
        })
        .map([this] { after_change(); });
}

void Server::stop() {
    membership_.goodbye();
    for (auto& [slot, client] : clients_) {
        ring(slot);
    }
}

void Server::on_connection() {
    while (true) {
        auto socket = listener_.accept();
        if (!socket && socket.error().code == EAGAIN) {
            break;
        }
        if (!socket) {
            // Out of descriptors, most likely. The connection stays in the backlog and would wake
            // us at once: look again in a second.
            spdlog::error("{}", socket.error().message);
            listen_source_.reset();
            auto watch = [this] {
                auto source =
                    loop_.on_io(listener_.fd(), EPOLLIN, [this](uint32_t) { on_connection(); });
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
            break;
        }
        auto admitted = admit(*socket);
        if (!admitted) {
            turn_away(socket->get());
            spdlog::error("a connection was refused: {}", admitted.error().message);
        }
    }
    drop_lost();
    after_change();
}

Result<void> Server::admit(UniqueFd& socket) {
    // Room for a full region's introduction and three times its complete turnover.
    size_t capacity = 4 * (static_cast<size_t>(region_.view().layout.slots) + 1) * (vectors_ + 1);
    auto client = std::make_unique<Client>(capacity);
    for (uint32_t v = 0; v < vectors_; ++v) {
        auto fd = make_eventfd();
        if (!fd) {
            return forward_error(std::move(fd));
        }
        client->doorbells.push_back(std::move(*fd));
    }
    Client* raw = client.get();
    auto source =
        loop_.on_io(socket.get(), EPOLLIN, [this, raw](uint32_t ev) { on_client(*raw, ev); });
    if (!source) {
        return forward_error(std::move(source));
    }
    auto slot = membership_.connect();
    if (!slot) {
        return fail("the region is full, all {} slots are taken", region_.view().layout.slots);
    }
    client->socket = std::move(socket);
    client->source = std::move(*source);
    client->slot = *slot;
    clients_[*slot] = std::move(client);
    introduce(*raw);
    spdlog::info("slot {}: QEMU connected", *slot);
    return {};
}

// The order is the protocol's; QEMU reads up to the memory while it realizes the device.
void Server::introduce(Client& client) {
    queue(client, IVSHMEM_PROTOCOL_VERSION);
    queue(client, client.slot);
    queue(client, IVSHMEM_MSG_SHM, region_fd_);
    announce(client, IVPCI_BROKER_SLOT, {doorbell_});
    for (auto& [slot, other] : clients_) {
        if (other.get() != &client && !other->lost) {
            announce(client, slot, other->doorbells);
            announce(*other, client.slot, client.doorbells);
            flush(*other);
        }
    }
    announce(client, client.slot, client.doorbells);
    flush(client);
}

void Server::announce(Client& to, uint32_t id, const std::vector<SharedFd>& doorbells) {
    for (const SharedFd& fd : doorbells) {
        queue(to, id, fd);
    }
}

void Server::queue(Client& to, int64_t value, SharedFd fd) {
    if (!to.lost && !to.outbox.push(value, std::move(fd))) {
        lose(to, fmt::format("it did not read {} messages", to.outbox.size()));
    }
}

void Server::flush(Client& client) {
    if (client.lost) {
        return;
    }
    auto done = client.outbox.flush(client.socket.get());
    if (!done) {
        lose(client, done.error().message);
        return;
    }
    auto watched = client.source.set_io_events(*done ? EPOLLIN : EPOLLIN | EPOLLOUT);
    if (!watched) {
        lose(client, watched.error().message);
    }
}

void Server::on_client(Client& client, uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !client.lost) {
        // QEMU never sends: whatever can be read is the end, or not QEMU.
        char byte = 0;
        ssize_t n = recv(client.socket.get(), &byte, 1, MSG_DONTWAIT);
        if (n > 0) {
            lose(client, "it sent data, which the ivshmem protocol does not have");
        } else if (n == 0) {
            lose(client, "QEMU disconnected");
        } else if (errno != EAGAIN && errno != EINTR) {
            lose(client, std::generic_category().message(errno));
        }
    }
    if ((events & EPOLLOUT) != 0) {
        flush(client);
    }
    drop_lost();
    after_change();
}

void Server::lose(Client& client, const std::string& why) {
    spdlog::info("slot {}: lost: {}", client.slot, why);
    client.lost = true;
}

void Server::drop_lost() {
    auto is_lost = [](const auto& entry) { return entry.second->lost; };
    for (auto it = std::find_if(clients_.begin(), clients_.end(), is_lost); it != clients_.end();
         it = std::find_if(clients_.begin(), clients_.end(), is_lost)) {
        // Out of the map first, so that its slot's doorbell is not rung; closed last.
        auto gone = std::move(it->second);
        clients_.erase(it);
        membership_.disconnect(gone->slot);
        for (auto& [slot, other] : clients_) {
            queue(*other, gone->slot);
            flush(*other);
        }
    }
}

void Server::on_doorbell() {
    eventfd_t count = 0;
    eventfd_read(doorbell_->get(), &count);
    membership_.serve_requests();
    after_change();
}

void Server::ring(uint32_t slot) {
    auto client = clients_.find(slot);
    if (client != clients_.end()) {
        // EAGAIN: the counter is full, so the guest is being woken already.
        eventfd_write(client->second->doorbells[IVPCI_VECTOR_CONTROL]->get(), 1);
    }
}

void Server::after_change() {
    if (membership_.reclaim_pending() && !reclaim_source_.active()) {
        auto source = loop_.every(100ms, [this] {
            if (!membership_.reclaim()) {
                reclaim_source_.reset();
            }
        });
        if (source) {
            reclaim_source_ = std::move(*source);
        } else {
            spdlog::error("leases of lost guests are not freed: {}", source.error().message);
        }
    }
    auto status =
        fmt::format("STATUS={} of {} slots connected, {} live, {} of {} chunks free",
                    membership_.connected(), region_.view().layout.slots, membership_.live(),
                    membership_.leases().free(), region_.view().layout.chunks);
    if (status != shown_status_) {
        sd_notify(0, status.c_str());
        shown_status_ = std::move(status);
    }
}

}  // namespace smc_steer::broker
