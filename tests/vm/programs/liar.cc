// SPDX-License-Identifier: Apache-2.0
// liar: a hostile member of a region that knows what it writes (scribble.cc does not).
//
//   liar DEVICE SLOTS VERB WORDS...        DEVICE: the PCI device's directory in sysfs
//     state SLOT STATE SECONDS             says so of a slot, again and again, and rings it
//     join SLOT                            asks the broker for it, in the slot's name
//     lease CHUNK SLOT SECONDS             whose a chunk is, then what it was
//     flap SLOT VICTIM SECONDS             has a slot come and go, and rings the victim
//     alias SLOT VICTIM                    has a slot come anew with another GID, era and vectors
//     era SLOT VICTIM                      says another era of a slot for 1.5 s
//     deaf VICTIM                          says that it looks at all its rings, once
//     mute VICTIM PRODUCER SECONDS         and empties its ring from there; prints how often
//     ring VICTIM SECONDS                  the victim's vector 0, as fast as it goes
//     events OWN VICTIM SECONDS            keeps the event ring to the victim full
//     signals OWN VICTIM SECONDS           has the victim serve all DMBs, for ever
//     describe OWN INDEX TOKEN WRITER      a DMB of 16 KiB, in a chunk that is leased to OWN
//     claim CLAIMER OWNER INDEX            prints the word
//     where OWNER INDEX                    prints the chunk of a DMB
//     leased SLOT                          prints how many chunks
// TOKEN is hexadecimal. SECONDS may have a fraction.
#include <fcntl.h>
#include <ivpci/shm_abi.h>
#include <ivshmem/protocol.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace {

// SMC's "activity timer" as an answer: it takes note and does nothing (net/smc/smc_ism.c).
constexpr uint32_t kEventCode = 0x83;

template <class T>
void store(T& word, T value) {
    __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

template <class T>
T load(const T& word) {
    return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

[[noreturn]] void fail(const std::string& what) {
    std::perror(("liar: " + what).c_str());
    std::exit(3);
}

struct Mapped {
    uint8_t* at;
    uint64_t size;
};

Mapped map(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
    struct stat st {};
    if (fd < 0 || fstat(fd, &st)) {
        fail(path);
    }
    void* at = mmap(nullptr, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        fail("mmap " + path);
    }
    return {static_cast<uint8_t*>(at), static_cast<uint64_t>(st.st_size)};
}

class Liar {
public:
    Liar(const std::string& device, uint32_t slots)
        : memory_(map(device + "/resource2")), registers_(map(device + "/resource0")) {
        if (ivpci_layout_init(&layout_, memory_.size, slots)) {
            fail("layout");
        }
    }

    void state(uint32_t slot, uint32_t state, double seconds) {
        repeat(seconds, 100, [&] {
            store(header().slot[slot].state, __u32{state});
            doorbell(slot);
        });
    }

    void join(uint32_t slot) {
        store(ctl(slot).req_op, __u32{IVPCI_OP_JOIN});
        store(ctl(slot).req_seq, load(header().slot[slot].ack_seq) + 1);
        doorbell(IVPCI_BROKER_SLOT);
    }

    void lease(uint32_t chunk, uint32_t slot, double seconds) {
        __u32& word = leases()[chunk];
        const __u32 before = load(word);
        const __u32 lie = ivpci_lease(slot, load(header().slot[slot].generation));
        repeat(seconds, 100, [&] { store(word, lie); });
        store(word, before);
    }

    void leased(uint32_t slot) {
        uint32_t count = 0;
        for (uint32_t chunk = 0; chunk < layout_.chunks; chunk++) {
            count += (load(leases()[chunk]) & 0xff) == slot ? 1 : 0;
        }
        std::printf("%u\n", count);
    }

    void where(uint32_t owner, uint32_t index) {
        const __u64 offset = load(descs(owner)[index].offset);
        std::printf("%u\n", static_cast<uint32_t>((offset - layout_.chunk_off) / IVPCI_CHUNK_SIZE));
    }

    void flap(uint32_t slot, uint32_t victim, double seconds) {
        const __u32 generation = load(header().slot[slot].generation);
        __u32 turn = 0;
        repeat(seconds, 200, [&] {
            store(header().slot[slot].generation, generation + ++turn % 2);
            doorbell(victim);
        });
        store(header().slot[slot].generation, generation);
        doorbell(victim);
    }

    void alias(uint32_t slot, uint32_t victim) {
        ivpci_slot& shown = header().slot[slot];
        const __u32 generation = load(shown.generation);
        const __u64 gid = ~load(shown.gid);
        const __u32 era = load(shown.era) + 1;
        for (const __u32 said : {generation + 1, generation}) {
            repeat(0.5, 100, [&] {
                store(shown.gid, gid);
                store(shown.era, era);
                store(ctl(slot).vectors, __u32{1});
                store(shown.generation, said);
                doorbell(victim);
            });
        }
        std::printf("%016llx\n", gid);
    }

    void era(uint32_t slot, uint32_t victim) {
        __u32& shown = header().slot[slot].era;
        const __u32 said = load(shown) + 1;
        repeat(1.5, 100, [&] {
            store(shown, said);
            doorbell(victim);
        });
    }

    void deaf(uint32_t victim) {
        for (__u32& word : ctl(victim).looking) {
            store(word, __u32{1});
        }
    }

    void mute(uint32_t victim, uint32_t producer, double seconds) {
        ivpci_pair& pair = pair_of(producer, victim);
        const __u32& tail = ctl(victim).tail[producer];
        unsigned taken = 0;
        repeat(seconds, 0, [&] {
            deaf(victim);
            if (const __u32 seen = load(tail); load(pair.head) != seen) {
                store(pair.head, seen);
                taken++;
            }
        });
        std::printf("%u\n", taken);
    }

    void ring(uint32_t victim, double seconds) {
        repeat(seconds, 0, [&] { doorbell(victim); });
    }

    void events(uint32_t own, uint32_t victim, double seconds) {
        ivpci_pair& pair = pair_of(own, victim);
        for (ivpci_event& event : pair.event) {
            event = {.info = 0, .code = kEventCode, .reserved = 0};
        }
        const __u32& tail = ctl(victim).event_tail[own];
        repeat(seconds, 0, [&] {
            store(pair.event_head, load(tail) + IVPCI_EVENT_RING_SIZE);
            doorbell_of_data(own, victim);
        });
        store(pair.event_head, load(tail));
    }

    void signals(uint32_t own, uint32_t victim, double seconds) {
        ivpci_pair& pair = pair_of(own, victim);
        repeat(seconds, 0, [&] {
            store(pair.overflow, load(pair.overflow) + 1);
            doorbell_of_data(own, victim);
        });
    }

    void describe(uint32_t own, uint32_t index, uint64_t token, uint32_t writer) {
        auto* desc = descs(own) + index;
        const __u32 lease = ivpci_lease(own, load(header().slot[own].generation));
        uint32_t chunk = 0;
        while (chunk < layout_.chunks && load(leases()[chunk]) != lease) {
            chunk++;
        }
        if (chunk == layout_.chunks) {
            std::fprintf(stderr, "liar: nothing is leased to slot %u\n", own);
            std::exit(3);
        }
        store(desc->offset, __u64{layout_.chunk_off + uint64_t{chunk} * IVPCI_CHUNK_SIZE});
        store(desc->len, __u32{IVPCI_DMB_UNIT});
        store(desc->writer, __u32{writer});
        store(desc->writer_generation, load(header().slot[writer].generation));
        store(desc->token, __u64{token});
    }

    void claim(uint32_t claimer, uint32_t owner, uint32_t index) {
        const auto* claims = at<__u32>(ivpci_area(&layout_, claimer) + layout_.claim_off);
        std::printf("%x\n", load(claims[owner * IVPCI_DMBS + index]));
    }

private:
    template <class T>
    T* at(uint64_t offset) {
        return reinterpret_cast<T*>(memory_.at + offset);
    }

    __u32* leases() { return at<__u32>(layout_.lease_off); }
    ivpci_dmb_desc* descs(uint32_t slot) {
        return at<ivpci_dmb_desc>(ivpci_area(&layout_, slot) + layout_.desc_off);
    }
    ivpci_header& header() { return *at<ivpci_header>(0); }
    ivpci_ctl& ctl(uint32_t slot) { return *at<ivpci_ctl>(ivpci_area(&layout_, slot)); }

    ivpci_pair& pair_of(uint32_t producer, uint32_t receiver) {
        return at<ivpci_pair>(ivpci_area(&layout_, producer) + layout_.pair_off)[receiver];
    }

    void doorbell(uint32_t slot, uint32_t vector = IVPCI_VECTOR_CONTROL) {
        store(*reinterpret_cast<__u32*>(registers_.at + IVSHMEM_REG_DOORBELL),
              __u32{slot << 16 | vector});
    }

    void doorbell_of_data(uint32_t own, uint32_t victim) {
        doorbell(victim, ivpci_vector(own, load(ctl(victim).vectors)));
    }

    static void repeat(double seconds, unsigned pause_us, const std::function<void()>& lie) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
        do {
            for (int i = 0; i < (pause_us ? 1 : 100); i++) {
                lie();
            }
            if (pause_us) {
                usleep(pause_us);
            }
        } while (std::chrono::steady_clock::now() < end);
    }

    Mapped memory_, registers_;
    ivpci_layout layout_{};
};

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 4) {
        std::fprintf(stderr, "usage: liar DEVICE SLOTS VERB WORDS...\n");
        return 2;
    }
    Liar liar(words[0], std::stoul(words[1]));
    auto number = [&](size_t word) -> uint32_t { return std::stoul(words.at(3 + word)); };
    auto seconds = [&](size_t word) { return std::stod(words.at(3 + word)); };
    const std::string& verb = words[2];
    if (verb == "state") {
        liar.state(number(0), number(1), seconds(2));
    } else if (verb == "join") {
        liar.join(number(0));
    } else if (verb == "lease") {
        liar.lease(number(0), number(1), seconds(2));
    } else if (verb == "leased") {
        liar.leased(number(0));
    } else if (verb == "where") {
        liar.where(number(0), number(1));
    } else if (verb == "flap") {
        liar.flap(number(0), number(1), seconds(2));
    } else if (verb == "alias") {
        liar.alias(number(0), number(1));
    } else if (verb == "era") {
        liar.era(number(0), number(1));
    } else if (verb == "deaf") {
        liar.deaf(number(0));
    } else if (verb == "mute") {
        liar.mute(number(0), number(1), seconds(2));
    } else if (verb == "ring") {
        liar.ring(number(0), seconds(1));
    } else if (verb == "events") {
        liar.events(number(0), number(1), seconds(2));
    } else if (verb == "signals") {
        liar.signals(number(0), number(1), seconds(2));
    } else if (verb == "describe") {
        liar.describe(number(0), number(1), std::stoull(words.at(5), nullptr, 16), number(3));
    } else if (verb == "claim") {
        liar.claim(number(0), number(1), number(2));
    } else {
        std::fprintf(stderr, "liar: no such verb: %s\n", verb.c_str());
        return 2;
    }
    return 0;
}
