// SPDX-License-Identifier: Apache-2.0
// The parts of the server that are about a former broker and a next one, and about being looked at.
#include <spdlog/spdlog.h>

#include "broker/doorbell.h"
#include "broker/server.h"

namespace smc_steer::broker {

std::string Server::socket_name(uint32_t slot) const {
    return fmt::format("{}/{}/{}/socket", config_.name, slot, ledger_.slot[slot].serial);
}

std::string Server::doorbell_name(uint32_t slot, uint32_t vector) const {
    return fmt::format("{}/{}/{}", config_.name, slot, vector);
}

// Before the client is told anything: what it was told, a successor must be able to go on from.
void Server::keep(const Client& client) {
    if (store_.enabled()) {
        store_.keep(socket_name(client.slot), client.socket.get());
    }
}

void Server::forget(const Client& client) {
    if (store_.enabled()) {
        store_.forget(socket_name(client.slot));
    }
}

// Of empty slots, too: the other members may know them. A set that is not whole was told to nobody.
void Server::adopt_slot_doorbells(uint32_t slot) {
    std::vector<UniqueFd> found;
    for (uint32_t v = 0; v < config_.vectors; ++v) {
        auto fd = store_.take(doorbell_name(slot, v));
        if (fd.valid()) {
            found.push_back(std::move(fd));
        }
    }
    if (found.size() == config_.vectors) {
        doorbells_[slot] = std::move(found);
        return;
    }
    for (uint32_t v = 0; v < found.size(); ++v) {
        store_.forget(doorbell_name(slot, v));
    }
}

Result<void> Server::adopt_doorbell() {
    std::string name = config_.name + "/doorbell";
    doorbell_ = store_.take(name);
    if (doorbell_) {
        return {};
    }
    return make_doorbell().map([&](UniqueFd fd) {
        doorbell_ = std::move(fd);
        store_.keep(name, doorbell_.get());
    });
}

void Server::adopt_members() {
    uint32_t members = 0;
    if (!store_.enabled()) {
        membership_.begin_era();
    }
    for (uint32_t s = 1; s <= ledger_.slots; ++s) {
        adopt_slot_doorbells(s);
        if (ledger_.slot[s].held != 0) {
            watch_process(s);
        } else if (ledger_.slot[s].state != IVPCI_SLOT_EMPTY) {
            ++members;
            if (!adopt_client(s)) {
                relearn(s);
            }
        }
    }
    look_often();
    spdlog::info("region={} event=adopted members={} connected={}", config_.name, members,
                 clients_.size());
    membership_.announce_broker();
}

// Only of a store: its socket and all its doorbells are there.
bool Server::adopt_client(uint32_t slot) {
    auto client = std::make_unique<Client>();
    client->slot = slot;
    client->socket = store_.take(socket_name(slot));
    bool complete = client->socket.valid() && doorbells_.count(slot) != 0;
    if (!complete || !watch(*client)) {
        forget(*client);
        return false;
    }
    if (ledger_.slot[slot].sending != 0) {
        lose(*client, "the former broker was killed in mid-message", true);
    }
    clients_[slot] = std::move(client);
    return true;
}

// With a store, a member without a complete set is one that was just coming: its socket is closed,
// and unless it was told something it has nothing of ours. In a state directory it is everybody.
void Server::relearn(uint32_t slot) {
    const LedgerSlot& entry = ledger_.slot[slot];
    if (!store_.enabled() || entry.relearned != 0) {
        membership_.relearn(slot);
    } else if (entry.greeted == 0 && entry.sending == 0) {
        membership_.disconnect(slot);
        return;
    } else {
        membership_.hold(slot);
    }
    watch_process(slot);
}

// For members whose doorbell for the broker went with the former one: a driver asks and waits.
void Server::look_often() {
    if (!membership_.has_relearned()) {
        return;
    }
    auto source = loop_.every(std::chrono::milliseconds(20), [this] {
        membership_.serve_requests();
        if (!membership_.has_relearned()) {
            look_source_.reset();
        }
        settle();
    });
    if (source) {
        look_source_ = std::move(*source);
    } else {
        spdlog::error("region={} event=looking-seldom error=\"{}\"", config_.name,
                      source.error().message);
    }
}

SlotStatus Server::slot_status(uint32_t slot) const {
    const LedgerSlot& entry = ledger_.slot[slot];
    SlotStatus status;
    bool live = entry.state == IVPCI_SLOT_LIVE;
    status.slot = slot;
    status.state = entry.held != 0 ? "HELD" : live ? "LIVE" : "CONNECTED";
    status.generation = entry.generation;
    status.gid = live ? make_gid(region_hash(ledger_.uuid), slot, entry.generation) : 0;
    status.pid = entry.pid;
    status.uid = entry.uid;
    if (auto age = membership_.silence(slot, Clock::now())) {
        status.heartbeat_age = std::chrono::duration<double>(*age).count();
    }
    status.chunks = membership_.leases().held(slot);
    status.condemned = membership_.leases().condemned(slot);
    status.relearned = entry.relearned != 0;
    return status;
}

RegionStatus Server::status() const {
    RegionStatus status;
    status.name = config_.name;
    status.socket = config_.socket;
    for (size_t i = 0; i < ledger_.uuid.size(); ++i) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        status.uuid += fmt::format("{}{:02x}", dash ? "-" : "", ledger_.uuid[i]);
    }
    status.memory = config_.memory == Memory::kHugetlb ? "hugetlb" : "memfd";
    status.size = ledger_.size;
    status.slots = ledger_.slots;
    status.vectors = ledger_.vectors;
    status.chunks = ledger_.chunks;
    status.free = membership_.leases().free();
    for (uint32_t s = 1; s <= ledger_.slots; ++s) {
        status.condemned += membership_.leases().condemned(s);
        if (ledger_.slot[s].state != IVPCI_SLOT_EMPTY || ledger_.slot[s].held != 0) {
            status.used.push_back(slot_status(s));
        }
    }
    status.leased = status.chunks - status.free - status.condemned;
    const MemberCounts& m = membership_.counts();
    status.counters = {{"connects", m.connects},
                       {"disconnects", m.disconnects},
                       {"joins", m.joins},
                       {"leaves", m.leaves},
                       {"chunks_leased", m.leases},
                       {"chunks_returned", m.returns},
                       {"chunks_reclaimed", m.chunks_freed},
                       {"requests_refused", m.refused_requests},
                       {"header_repaired", m.header_repaired},
                       {"turned_away_uid", counts_.refused_uid},
                       {"turned_away_full", counts_.refused_full},
                       {"turned_away_held", counts_.refused_held},
                       {"turned_away_error", counts_.refused_error},
                       {"violations", counts_.violations},
                       {"rings", counts_.rings}};
    return status;
}

}  // namespace smc_steer::broker
