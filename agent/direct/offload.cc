// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/offload.h"

#include <arpa/inet.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace smc_steer {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;
// A thread that came into TCP before the attach may stay there for as long as nothing comes: then
// it is asked again later.
constexpr std::uint64_t kReadyNs = 2'000 * kMillisecond;
constexpr std::uint64_t kAskedNs = 2 * kReadyNs;
// After a socket was locked by its program: a program that has it locked for long does not hold up
// the others.
constexpr std::uint64_t kLockedNs = 50 * kMillisecond;
// Attempts at finding a connection that the other end names by other addresses.
constexpr std::size_t kMostTries = 256;
// From one connection that gives its rings to a hotter one to the next.
constexpr std::uint64_t kEvictionNs = 1'000 * kMillisecond;
// The same of a control group that has more than its share. It ends where that has no more.
constexpr std::uint64_t kShareNs = 100 * kMillisecond;
// Who has been given room waits so long for the other end to hear of it and let go.
constexpr std::uint64_t kRoomNs = 500 * kMillisecond;
// From one connection that gave its rings in vain to the next, for a control group and a guest.
constexpr std::uint64_t kInVainNs = 60'000 * kMillisecond;
// Who waits for its turn asks again so late: no question costs the broker more than a few a second.
constexpr std::uint64_t kTurnNs = 200 * kMillisecond;
constexpr std::uint64_t kSecondNs = 1'000 * kMillisecond;
// From one question about a connection that is gone into to the next: who asks waits for longer.
constexpr std::uint64_t kAnsweredNs = 500 * kMillisecond;

// Not now, and maybe soon.
bool may_come(const DirectAnswer& answer) {
    return answer.reason == DIRECT_LOCKED || answer.reason == DIRECT_NOT_CLEAN ||
           answer.reason == DIRECT_UNREAD;
}

Traffic traffic_of(const TcpSocket& socket) {
    return {socket.bytes.sent + socket.bytes.received, socket.messages};
}

std::uint64_t by_rings(const direct_flow& flow) { return flow.ring_sent + flow.ring_received; }
std::uint64_t all_bytes(const direct_flow& flow) {
    return by_rings(flow) + flow.tcp_sent + flow.tcp_received;
}

// How much of what the other end said about the addresses is so here: without NAT all, with it the
// side of it that was left alone.
int likeness(const SocketAddresses& here, const SocketAddresses& there) {
    int points = 0;
    points += here.local_port == there.peer_port && here.local == there.peer ? 4 : 0;
    points += here.peer_port == there.local_port && here.peer == there.local ? 4 : 0;
    points += here.local_port == there.peer_port ? 2 : 0;
    points += here.peer_port == there.local_port ? 1 : 0;
    return points;
}

}  // namespace

std::string_view to_string(Offload::State state) {
    switch (state) {
        case Offload::State::preparing:
        case Offload::State::readying:
            return "preparing";
        case Offload::State::offered:
        case Offload::State::ready:
            return "agreed";
        case Offload::State::moved:
            break;
    }
    return "moved";
}

direct_request Offload::request_of(const Entry& entry) {
    auto request = name_connection(entry.name.addresses, entry.netns->get());
    request.first_sent = entry.name.first_sent;
    request.first_received = entry.name.first_received;
    return request;
}

direct_rings Offload::rings_of(const Entry& entry) {
    direct_rings rings{};
    rings.connection = request_of(entry);
    rings.device = device_;
    rings.slot = entry.seen.peer.slot;
    rings.generation = entry.seen.peer.generation;
    rings.size = static_cast<std::uint32_t>(entry.size);
    return rings;
}

void Offload::say(const Entry& entry, MessageKind kind, WhyNot why, std::uint64_t token) {
    if (!entry.id) {
        return;  // the other agent finds out at its next look
    }
    Message message{kind,  entry.ours, why, entry.id, static_cast<std::uint32_t>(entry.size),
                    token, {},         {},  {}};
    if (kind == MessageKind::prepare) {
        message.addresses = entry.name.addresses;
        message.salt = entry.salt;
        message.proof = prove(entry.name, Prover::asks, entry.salt);
    } else if (kind == MessageKind::ready) {
        message.proof = prove(entry.name, Prover::answers, entry.salt);
    }
    owner_.send(entry.seen.peer.slot, message);
}

void Offload::look(DirectRequests& kernel, const std::vector<Seen>& all,
                   const std::vector<ino_t>& paused, std::uint64_t now_ns) {
    for (auto& [inode, track] : tracks_) {
        track.here = false;
    }
    std::vector<const Seen*> wanting;
    std::vector<Claim> claims;
    for (const auto& seen : all) {
        if (seen.socket.inode && !entries_.contains(seen.socket.inode) &&
            consider(kernel, seen, now_ns)) {
            wanting.push_back(&seen);
            claims.push_back({seen.socket.cgroup, 0, tracks_[seen.socket.inode].grown});
        }
    }
    auto asked = under_way(true);
    for (auto next : in_turn(claims)) {
        asked += ask_for(kernel, *wanting[next], asked < kMostAsked, now_ns);
    }
    std::erase_if(tracks_, [&](const auto& entry) {
        return !entry.second.here && !entries_.contains(entry.first) &&
               std::find(paused.begin(), paused.end(), entry.second.netns) == paused.end();
    });
    maintain(kernel, now_ns);
}

// By what it did since the last look, which `track` is brought up to.
bool Offload::is_worth_it(Track& track, const Traffic& now, std::uint64_t now_ns) const {
    if (!track.since_ns) {
        track.since_ns = now_ns;
    }
    auto before = std::exchange(track.traffic, now);
    if (!std::exchange(track.known, true)) {
        track.grown = 0;
        return false;
    }
    track.grown = now.bytes - before.bytes;
    if (now == before) {
        return false;
    }
    auto used_ns = std::exchange(track.used_ns, now_ns);
    return is_hot(limits_, before, now) ||
           (used_ns && is_lasting(limits_, now_ns - track.since_ns, now_ns - used_ns));
}

bool Offload::consider(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns) {
    if (seen.socket.attached) {
        adopt(kernel, seen, now_ns);
        return false;
    }
    if (!seen.peer.slot || !seen.socket.established) {
        return false;
    }
    auto& track = tracks_[seen.socket.inode];
    track.here = true;
    track.netns = seen.netns;
    if (std::exchange(track.judge, false)) {
        track.why_not = owner_.why_denied(seen);
    }
    bool worth_it = is_worth_it(track, traffic_of(seen.socket), now_ns);
    return worth_it && now_ns >= track.not_before_ns;
}

bool Offload::ask_for(DirectRequests& kernel, const Seen& seen, bool possible,
                      std::uint64_t now_ns) {
    auto& track = tracks_[seen.socket.inode];
    track.why_not.clear();
    if (!owner_.can_talk(seen.peer.slot)) {
        track.why_not = "no connection with the other guest's agent";
        return false;
    }
    if (!possible) {
        track.why_not = "others are on their way";
        return false;
    }
    track.why_not = owner_.why_denied(seen);
    if (!track.why_not.empty()) {
        track.not_before_ns = now_ns + pause_ns(0);
        return false;
    }
    begin(kernel, seen, now_ns);
    return entries_.contains(seen.socket.inode);
}

std::size_t Offload::under_way(bool ours) const {
    return static_cast<std::size_t>(
        std::count_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
            return entry.second.report.state != State::moved && entry.second.ours == ours;
        }));
}

std::size_t Offload::answered_of(std::uint64_t group) const {
    return static_cast<std::size_t>(
        std::count_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
            return entry.second.report.state != State::moved && !entry.second.ours &&
                   entry.second.seen.socket.cgroup == group;
        }));
}

bool Offload::identify(DirectRequests& kernel, const Seen& seen, Entry& entry) {
    entry.netns = owner_.netns_file(seen.netns);
    if (!entry.netns) {
        return false;
    }
    auto request = name_connection(seen.socket.addresses, entry.netns->get());
    if (!kernel.ask(DIRECT_IDENTIFY, request)) {
        return false;
    }
    entry.seen = seen;
    entry.name = {seen.socket.addresses, request.first_sent, request.first_received};
    return true;
}

void Offload::begin(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns) {
    Entry entry;
    auto& track = tracks_[seen.socket.inode];
    if (!identify(kernel, seen, entry) || getrandom(entry.salt.data(), entry.salt.size(), 0) !=
                                              static_cast<ssize_t>(entry.salt.size())) {
        track.why_not = "the kernel does not find it by its addresses";
        track.not_before_ns = now_ns + pause_ns(track.failures++);
        return;
    }
    entry.id = next_id_++;
    entry.ours = true;
    entry.size = entry.most_size = limits_.ring;
    entry.recent_bytes = track.grown;
    entry.deadline_ns = now_ns + kAskedNs;
    entry.report.state = State::preparing;
    entry.report.slot = seen.peer.slot;
    auto at = entries_.insert_or_assign(seen.socket.inode, std::move(entry)).first;
    DirectAnswer answer;
    is_clean(kernel, at->second, answer);
    if (answer.end != DirectAnswer::End::done && answer.reason != DIRECT_LOCKED) {
        fail_entry(kernel, at, WhyNot::not_now, to_string(answer), false, now_ns);
        return;
    }
    say(at->second, MessageKind::prepare);
}

// A connection that an agent before this one has moved, or had begun with.
void Offload::adopt(DirectRequests& kernel, const Seen& seen, std::uint64_t now_ns) {
    Entry entry;
    if (!identify(kernel, seen, entry)) {
        return;
    }
    auto request = request_of(entry);
    auto rings = rings_of(entry);
    if (!kernel.ask(DIRECT_LOOK, request) || !(request.state & DIRECT_RINGS)) {
        // Half way there, or half way back: given back and detached as soon as that is possible.
        kernel.ask(DIRECT_RETURN, rings);
        kernel.ask(DIRECT_DETACH, request);
        return;
    }
    auto denied = owner_.why_denied(seen);
    bool moved = denied.empty() && kernel.ask(DIRECT_MOVE, rings);
    entry.attached = entry.made = true;
    entry.report.slot = seen.peer.slot;
    entry.report.flow = rings.flow;
    entry.size = static_cast<int>(rings.size);
    auto at = entries_.insert_or_assign(seen.socket.inode, std::move(entry)).first;
    if (moved) {
        finish(at->second, now_ns);
    } else {
        fail_entry(kernel, at, WhyNot::denied, std::move(denied), false, now_ns);
    }
}

// Attaches where that is not done yet. `answer`: why it cannot be; not being clean yet is no
// failure.
bool Offload::is_clean(DirectRequests& kernel, Entry& entry, DirectAnswer& answer) {
    constexpr std::uint32_t kClean = DIRECT_CLEAN_SENDING | DIRECT_CLEAN_RECEIVING;
    auto request = request_of(entry);
    answer = kernel.ask(DIRECT_LOOK, request);
    if (!answer) {
        return false;
    }
    if (!(request.state & DIRECT_ATTACHED)) {
        answer = kernel.ask(DIRECT_ATTACH, request);
        entry.attached = static_cast<bool>(answer);
        return false;
    }
    entry.attached = true;
    return (request.state & kClean) == kClean;
}

bool Offload::under_way() const { return under_way(true) || under_way(false); }

std::vector<ino_t> Offload::busy() const {
    std::vector<ino_t> all;
    for (const auto& [inode, entry] : entries_) {
        if (entry.report.state == State::preparing || entry.report.state == State::readying) {
            all.push_back(entry.seen.netns);
        }
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

void Offload::go_on(DirectRequests& kernel, std::uint64_t now_ns) {
    for (auto at = entries_.begin(); at != entries_.end();) {
        const auto inode = at->first;
        auto& entry = at->second;
        auto state = entry.report.state;
        if (state == State::moved || now_ns < entry.next_try_ns) {
            at = entries_.upper_bound(inode);
            continue;
        }
        DirectAnswer answer;
        bool clean = (state == State::preparing || state == State::readying) &&
                     is_clean(kernel, entry, answer);
        bool possible = answer || answer.reason == DIRECT_LOCKED;
        if (!possible) {
            fail_entry(kernel, at, WhyNot::not_now, to_string(answer), true, now_ns);
        } else if (now_ns >= entry.deadline_ns) {
            fail_entry(kernel, at, WhyNot::not_now,
                       entry.ours && !entry.peer_ready
                           ? "the other agent does not answer"
                           : std::string(direct_reason_text(
                                 entry.waits_for_room ? DIRECT_NO_MEMORY : DIRECT_NOT_CLEAN)),
                       true, now_ns);
        } else if (clean && state == State::readying) {
            entry.report.state = State::ready;
            entry.deadline_ns = now_ns + kAskedNs;
            say(entry, MessageKind::ready);
        } else if (clean && entry.peer_ready) {
            offer(kernel, entry, now_ns);
        } else if (entry.offer) {
            take_up(kernel, entry, now_ns);
        } else if (answer.reason == DIRECT_LOCKED) {
            entry.next_try_ns = now_ns + kLockedNs;
        }
        // This one may be gone now, and others with it.
        at = entries_.upper_bound(inode);
    }
}

Claim Offload::claim_of(const Entry& entry) const {
    // A module from before it told this leaves what was taken over without a size.
    auto size = entry.size ? entry.size : limits_.ring;
    return {entry.seen.socket.cgroup, static_cast<std::uint64_t>(entry.made ? size : 0),
            entry.recent_bytes, entry.report.state == State::moved};
}

// Of all that have rings.
std::vector<Claim> Offload::claims(std::vector<Entries::iterator>& whose) {
    std::vector<Claim> all;
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
        if (at->second.made) {
            all.push_back(claim_of(at->second));
            whose.push_back(at);
        }
    }
    return all;
}

bool Offload::make_room(DirectRequests& kernel, Entry& wants, std::uint64_t now_ns) {
    if (wants.room_until_ns) {
        return now_ns < wants.room_until_ns;  // once for each attempt
    }
    std::erase_if(in_vain_ns_, [&](const auto& last) { return now_ns - last.second >= kInVainNs; });
    if (in_vain_ns_.contains(room_of(wants))) {
        return false;
    }
    std::vector<Entries::iterator> whose;
    auto held = claims(whose);
    Shares shares(held, limits_.share);
    auto giver = shares.giver(claim_of(wants));
    if (!giver) {
        return false;
    }
    auto& last_ns = giver->by_share ? shared_ns_ : evicted_ns_;
    if (now_ns - last_ns < (giver->by_share ? kShareNs : kEvictionNs)) {
        return giver->by_share;  // its turn comes
    }
    last_ns = now_ns;
    wants.room_until_ns = now_ns + kRoomNs;
    if (giver->by_share) {
        totals_.back_share++;
        // Not more than its share, or the next one would take it back.
        auto most = std::bit_floor(shares.left(wants.seen.socket.cgroup));
        wants.most_size =
            static_cast<int>(std::min(most, static_cast<std::uint64_t>(wants.most_size)));
    } else {
        totals_.back_evicted++;
    }
    fail_entry(kernel, whose[giver->index], WhyNot::idle,
               giver->by_share ? "its control group had more than its share of the memory"
                               : "a hotter connection has the memory",
               true, now_ns);
    return true;
}

DirectAnswer Offload::make(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns,
                           std::uint64_t& token) {
    // The driver asks the broker each time that it has nothing: one of all that wait asks it. Who
    // was given room asks at once, and so has it before the others.
    if (now_ns >= entry.room_until_ns && full_ns_ && now_ns - full_ns_ < kTurnNs) {
        return wait_for_room(kernel, entry, now_ns);
    }
    for (entry.size = entry.most_size;; entry.size /= 2) {
        auto rings = rings_of(entry);
        auto answer = kernel.ask(DIRECT_MAKE, rings);
        entry.made = entry.made || answer;
        token = rings.token;
        if (may_come(answer)) {
            entry.next_try_ns = now_ns + kLockedNs;
        }
        if (answer.reason != DIRECT_NO_MEMORY) {
            return answer;
        }
        if (entry.size == kSmallestRing) {
            full_ns_ = now_ns;
            return wait_for_room(kernel, entry, now_ns);
        }
    }
}

DirectAnswer Offload::wait_for_room(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns) {
    if (!make_room(kernel, entry, now_ns)) {
        return {DirectAnswer::End::refused, DIRECT_NO_MEMORY};
    }
    // The other end has to hear of it before that memory is free.
    entry.next_try_ns = now_ns + (now_ns < entry.room_until_ns ? kLockedNs : kTurnNs);
    entry.waits_for_room = true;
    return {DirectAnswer::End::refused, DIRECT_LOCKED};
}

void Offload::offer(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns) {
    std::uint64_t token = 0;
    auto answer = make(kernel, entry, now_ns, token);
    if (answer) {
        entry.report.state = State::offered;
        entry.deadline_ns = now_ns + kAskedNs;
        say(entry, MessageKind::offer, WhyNot::none, token);
    } else if (!may_come(answer)) {
        fail_entry(kernel, entries_.find(entry.seen.socket.inode), WhyNot::not_now,
                   to_string(answer), true, now_ns);
    }
}

void Offload::on_message(DirectRequests& kernel, std::uint32_t slot, const Message& message,
                         std::uint64_t now_ns) {
    if (message.kind == MessageKind::prepare) {
        on_prepare(kernel, slot, message, now_ns);
        return;
    }
    auto at = find(slot, !message.asked_by_sender, message.id);
    if (at == entries_.end()) {
        return;  // it was given up meanwhile, which the other agent hears or has heard of
    }
    auto& entry = at->second;
    bool moved = entry.report.state == State::moved;
    if (message.kind == MessageKind::over) {
        totals_.back_by_peer += moved;
        fail_entry(kernel, at, WhyNot::ended, "the other end went back to TCP", false, now_ns);
    } else if (message.kind == MessageKind::no && !moved) {
        fail_entry(kernel, at, message.why, std::string(to_string(message.why)), false, now_ns);
    } else if (message.kind == MessageKind::ready && entry.report.state == State::preparing) {
        if (!proves(message.proof, Prover::answers, entry.salt, entry.name)) {
            fail_entry(kernel, at, WhyNot::unknown_connection,
                       "the other agent does not know the connection", true, now_ns);
            return;
        }
        entry.peer_ready = true;
        DirectAnswer answer;
        if (is_clean(kernel, entry, answer)) {
            offer(kernel, entry, now_ns);
        }
    } else if (message.kind == MessageKind::offer && entry.report.state == State::ready) {
        auto size = static_cast<unsigned>(message.size);
        if (std::has_single_bit(size) && size >= kSmallestRing &&
            size <= static_cast<unsigned>(limits_.ring)) {
            entry.size = entry.most_size = static_cast<int>(size);
        }
        entry.offer = message;
        take_up(kernel, entry, now_ns);
    } else if (message.kind == MessageKind::taken && entry.report.state == State::offered) {
        on_taken(kernel, entry, message, now_ns);
    }
}

// The other end may know this one by other addresses (NAT): the proof tells.
bool Offload::find_other_end(DirectRequests& kernel, const Message& theirs, Entry& entry) {
    std::vector<std::pair<int, const Seen*>> likely;
    for (const auto& each : owner_.find_all()) {
        if (each.socket.established) {
            likely.emplace_back(-likeness(each.socket.addresses, theirs.addresses), &each);
        }
    }
    auto most = std::min(likely.size(), kMostTries);
    std::partial_sort(likely.begin(), likely.begin() + static_cast<std::ptrdiff_t>(most),
                      likely.end(),
                      [](const auto& one, const auto& other) { return one.first < other.first; });
    likely.resize(most);
    return std::any_of(likely.begin(), likely.end(), [&](const auto& each) {
        return identify(kernel, *each.second, entry) &&
               proves(theirs.proof, Prover::asks, theirs.salt, entry.name);
    });
}

// A guest that names connections nobody has is not searched for at length, again and again.
bool Offload::may_miss(std::uint32_t slot, std::uint64_t now_ns) {
    auto& misses = misses_[slot];
    if (now_ns - misses.since_ns >= kSecondNs) {
        misses = {now_ns, 0};
    }
    return misses.count < kMostMisses;
}

void Offload::on_prepare(DirectRequests& kernel, std::uint32_t slot, const Message& message,
                         std::uint64_t now_ns) {
    auto say_no = [&](WhyNot why) {
        owner_.send(slot, {MessageKind::no, false, why, message.id, 0, 0, {}, {}, {}});
    };
    if (!message.asked_by_sender || !message.id || under_way(false) >= kMostAnswered ||
        !may_miss(slot, now_ns)) {
        say_no(WhyNot::not_now);
        return;
    }
    Entry entry;
    if (!find_other_end(kernel, message, entry)) {
        misses_[slot].count++;
        say_no(WhyNot::unknown_connection);
        return;
    }
    const auto inode = entry.seen.socket.inode;
    // Whoever this end takes for the other one: who proves to know the connection has it.
    entry.seen.peer = owner_.guest(slot);
    if (auto why = inode ? owner_.why_denied(entry.seen) : "nobody has accepted it"; !why.empty()) {
        if (inode) {
            auto& track = tracks_[inode];
            track.netns = entry.seen.netns;
            track.why_not = std::move(why);
        }
        say_no(WhyNot::denied);
        return;
    }
    // This end's own pause is for its own questions: two that waited for each other would never
    // meet.
    auto& track = tracks_[inode];
    track.netns = entry.seen.netns;
    if ((track.answered_ns && now_ns - track.answered_ns < kAnsweredNs) ||
        answered_of(entry.seen.socket.cgroup) >= kMostAnsweredOfOne) {
        say_no(WhyNot::not_now);
        return;
    }
    track.answered_ns = now_ns;
    if (auto known = entries_.find(inode); known != entries_.end()) {
        bool crossing = known->second.ours && known->second.report.state != State::moved;
        if (crossing && own_slot_ > slot) {
            say_no(WhyNot::crossing);
            return;
        }
        // The other agent knows nothing of it any more, or this one's question waits for nothing.
        release(kernel, known, WhyNot::crossing, false);
    }
    entry.id = message.id;
    entry.salt = message.salt;
    entry.size = entry.most_size = limits_.ring;
    entry.recent_bytes = track.grown;
    entry.deadline_ns = now_ns + kReadyNs;
    entry.report.state = State::readying;
    entry.report.slot = slot;
    auto at = entries_.insert_or_assign(inode, std::move(entry)).first;
    DirectAnswer answer;
    is_clean(kernel, at->second, answer);
    if (!answer && answer.reason != DIRECT_LOCKED) {
        fail_entry(kernel, at, WhyNot::not_now, to_string(answer), true, now_ns);
    }
}

void Offload::take_up(DirectRequests& kernel, Entry& entry, std::uint64_t now_ns) {
    std::uint64_t token = 0;
    auto answer = make(kernel, entry, now_ns, token);
    if (may_come(answer)) {
        return;
    }
    if (answer) {
        answer = connect(kernel, entry, entry.offer->token);
    }
    if (!answer) {
        fail_entry(kernel, entries_.find(entry.seen.socket.inode), WhyNot::not_now,
                   to_string(answer), true, now_ns);
        return;
    }
    say(entry, MessageKind::taken, WhyNot::none, token);
    finish(entry, now_ns);
}

DirectAnswer Offload::connect(DirectRequests& kernel, const Entry& entry, std::uint64_t token) {
    auto rings = rings_of(entry);
    rings.token = token;
    auto answer = kernel.ask(DIRECT_CONNECT, rings);
    return answer ? kernel.ask(DIRECT_MOVE, rings) : answer;
}

void Offload::on_taken(DirectRequests& kernel, Entry& entry, const Message& message,
                       std::uint64_t now_ns) {
    auto answer = connect(kernel, entry, message.token);
    if (answer) {
        finish(entry, now_ns);
        return;
    }
    fail_entry(kernel, entries_.find(entry.seen.socket.inode), WhyNot::not_now, to_string(answer),
               true, now_ns);
}

void Offload::finish(Entry& entry, std::uint64_t now_ns) {
    entry.report.state = State::moved;
    entry.report.ring = entry.size;
    entry.report.since_ns = entry.grew_ns = now_ns;
    totals_.moved++;
    in_vain_ns_.erase(room_of(entry));
    if (auto track = tracks_.find(entry.seen.socket.inode); track != tracks_.end()) {
        track->second.failures = 0;
        track->second.why_not.clear();
    }
    spdlog::debug("{} - {} is moved onto shared memory",
                  to_string(entry.name.addresses.local, entry.name.addresses.local_port),
                  to_string(entry.name.addresses.peer, entry.name.addresses.peer_port));
}

void Offload::maintain(DirectRequests& kernel, std::uint64_t now_ns) {
    auto idle_ns = static_cast<std::uint64_t>(limits_.idle_ms) * kMillisecond;
    for (auto at = entries_.begin(); at != entries_.end();) {
        auto& entry = at->second;
        if (entry.report.state != State::moved) {
            ++at;
            continue;
        }
        auto rings = rings_of(entry);
        auto answer = kernel.ask(DIRECT_MOVE, rings);
        if (answer) {
            auto grown = all_bytes(rings.flow) - all_bytes(entry.report.flow);
            entry.recent_bytes = grown;
            entry.report.flow = rings.flow;
            if (grown) {
                entry.grew_ns = now_ns;
            }
            if (now_ns - entry.grew_ns < idle_ns) {
                ++at;
                continue;
            }
            totals_.back_idle++;
            at = release(kernel, at, WhyNot::idle, true);
        } else if (answer.end == DirectAnswer::End::no_connection) {
            totals_.ring_bytes += by_rings(entry.report.flow);
            tracks_[at->first].known = false;
            at = entries_.erase(at);
        } else {
            totals_.back_by_peer++;
            at = fail_entry(kernel, at, WhyNot::ended, to_string(answer), true, now_ns);
        }
    }
}

void Offload::judge(DirectRequests& kernel, std::uint64_t now_ns) {
    // What was left alone for a while may be allowed now. The reason stays until the next look,
    // which knows what rules are asked with: "TCP" without a reason would be wrong meanwhile.
    for (auto& [inode, track] : tracks_) {
        track.failures = 0;
        track.not_before_ns = 0;
        track.judge = !track.why_not.empty();
    }
    for (auto at = entries_.begin(); at != entries_.end();) {
        auto why = owner_.why_denied(at->second.seen);
        if (why.empty()) {
            ++at;
            continue;
        }
        totals_.back_denied += at->second.report.state == State::moved;
        at = fail_entry(kernel, at, WhyNot::denied, std::move(why), true, now_ns);
    }
}

void Offload::on_down(DirectRequests& kernel, std::uint32_t slot, std::uint64_t now_ns) {
    for (auto at = entries_.begin(); at != entries_.end();) {
        bool theirs = at->second.seen.peer.slot == slot && at->second.report.state != State::moved;
        at = theirs
                 ? fail_entry(kernel, at, WhyNot::ended, "the other agent has gone", false, now_ns)
                 : std::next(at);
    }
}

void Offload::restore(DirectRequests& kernel) {
    for (auto at = entries_.begin(); at != entries_.end();) {
        at = release(kernel, at, WhyNot::ended, true);
    }
}

void Offload::forget() {
    for (const auto& [inode, entry] : entries_) {
        totals_.ring_bytes += by_rings(entry.report.flow);
    }
    entries_.clear();
    tracks_.clear();
}

Offload::Entries::iterator Offload::find(std::uint32_t slot, bool ours, std::uint64_t id) {
    return std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
        return id && entry.second.id == id && entry.second.ours == ours &&
               entry.second.report.slot == slot;
    });
}

Offload::Entries::iterator Offload::release(DirectRequests& kernel, Entries::iterator at,
                                            WhyNot why, bool tell) {
    auto& entry = at->second;
    if (tell) {
        bool moved = entry.report.state == State::moved;
        say(entry, moved || entry.ours ? MessageKind::over : MessageKind::no, why);
    }
    if (entry.made) {
        auto rings = rings_of(entry);
        kernel.ask(DIRECT_RETURN, rings);
        // The kernel knows nothing any more of one that is over.
        totals_.ring_bytes += std::max(by_rings(rings.flow), by_rings(entry.report.flow));
    }
    if (entry.attached) {
        auto request = request_of(entry);
        kernel.ask(DIRECT_DETACH, request);
    }
    // What it moved meanwhile is none of what comes.
    if (auto track = tracks_.find(at->first); track != tracks_.end()) {
        track->second.known = false;
    }
    return entries_.erase(at);
}

Offload::Entries::iterator Offload::fail_entry(DirectRequests& kernel, Entries::iterator at,
                                               WhyNot why, std::string text, bool tell,
                                               std::uint64_t now_ns) {
    auto& track = tracks_[at->first];
    track.netns = at->second.seen.netns;
    track.not_before_ns = now_ns + pause_ns(track.failures++);
    track.why_not = std::move(text);
    track.judge = false;
    track.here = true;
    if (at->second.report.state != State::moved) {
        totals_.failed++;
        if (at->second.room_until_ns) {
            in_vain_ns_[room_of(at->second)] = now_ns;
        }
    }
    return release(kernel, at, why, tell);
}

const Offload::Report* Offload::report(std::uint64_t inode) const {
    auto at = entries_.find(inode);
    return at == entries_.end() ? nullptr : &at->second.report;
}

std::string Offload::why_not(std::uint64_t inode) const {
    auto at = tracks_.find(inode);
    return at == tracks_.end() ? "" : at->second.why_not;
}

Offload::Totals Offload::totals() const {
    auto totals = totals_;
    for (const auto& [inode, entry] : entries_) {
        bool moved = entry.report.state == State::moved;
        totals.now += moved;
        totals.under_way += !moved;
        totals.ring_bytes += by_rings(entry.report.flow);
    }
    return totals;
}

}  // namespace smc_steer
