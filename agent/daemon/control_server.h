// SPDX-License-Identifier: Apache-2.0
// The control socket: AF_UNIX stream. Who may connect, and what each may ask, is access.h's.
#ifndef SMC_STEER_AGENT_DAEMON_CONTROL_SERVER_H
#define SMC_STEER_AGENT_DAEMON_CONTROL_SERVER_H

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/acceptor.h"
#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"
#include "agent/daemon/access.h"

namespace smc_steer {

// Clients are served from the loop and never waited for: one that stalls costs a descriptor
// until its ten seconds are over. 32 at a time, and root whenever it comes.
class ControlServer {
public:
    // One request line (no newline) to one answer line (with newline), and whether the
    // connection is to be closed after it.
    struct Answer {
        std::string line;
        bool close = false;
        bool stream = false;  // what is broadcast() follows, until the client hangs up
    };
    using Handler = std::function<Answer(std::string_view, const Caller&)>;

    // EADDRINUSE in the error: another agent serves `path`. A socket that a dead agent left
    // is replaced. The directory is made with mode 0755 if it is missing.
    static Result<std::unique_ptr<ControlServer>> listen(EventLoop& loop, const std::string& path,
                                                         const Access& access, Handler handler);
    // Goes on with a predecessor's lock and listening socket, which are at `path`.
    static Result<std::unique_ptr<ControlServer>> take_over(EventLoop& loop,
                                                            const std::string& path,
                                                            const Access& access, UniqueFd lock,
                                                            UniqueFd listener, Handler handler);
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    // To the clients that were answered with `stream`. One that does not keep up misses lines.
    void broadcast(const std::string& line);
    std::size_t streams() const;

    // For a successor; they stay ours.
    int lock() const { return lock_.get(); }
    int listener() const { return listener_.get(); }

private:
    struct Client {
        UniqueFd fd;
        Caller caller;
        std::string in;
        std::string out;
        bool closing = false;
        bool streaming = false;
        EventSource io;
        EventSource patience;
    };
    using ClientRef = std::list<Client>::iterator;

    ControlServer(EventLoop& loop, std::string path, const Access& access, Handler handler)
        : loop_(loop), path_(std::move(path)), access_(access), handler_(std::move(handler)) {}
    Result<void> watch_listener();
    Result<void> accept_one();
    void admit(UniqueFd fd);
    std::size_t others() const;  // clients that are not root
    void serve(ClientRef client, std::uint32_t events);
    bool read_some(Client& client);  // false: nothing more will come
    void answer_lines(Client& client);
    bool write_some(Client& client);  // false: broken

    EventLoop& loop_;
    std::string path_;
    Access access_;
    Handler handler_;
    UniqueFd lock_;
    UniqueFd listener_;
    Acceptor acceptor_;
    std::list<Client> clients_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_CONTROL_SERVER_H
