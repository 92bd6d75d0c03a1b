// SPDX-License-Identifier: Apache-2.0
#include "broker/service.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <list>

#include "agent/base/http.h"
#include "broker/control.h"
#include "broker/pid_file.h"
#include "broker/server.h"

namespace smc_steer::broker {
namespace {

using namespace std::chrono_literals;

// Slots times vectors eventfds can be more than the usual soft limit of 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

Result<std::vector<RegionConfig>> regions_of(const Options& options) {
    if (options.config.empty()) {
        return std::vector<RegionConfig>{options.region};
    }
    errno = 0;
    std::ifstream file(options.config);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    struct stat st {};
    if (!file.is_open() || stat(options.config.c_str(), &st) != 0) {
        return fail_errno(errno, "--config {}", options.config);
    }
    if (!S_ISREG(st.st_mode)) {
        return fail("--config {}: not a file", options.config);
    }
    return parse_config(text, options.config, system_names());
}

// A region that is served. Members go in reverse order.
struct Tenant {
    RegionConfig config;
    Region region;
    Listener listener;
    std::unique_ptr<Server> server;
};

class Service {
public:
    Service(const Options& options, EventLoop& loop, FdStore& store)
        : options_(options), loop_(loop), store_(store) {}

    // Takes all it needs, or gives all back.
    Result<void> open(std::vector<RegionConfig> configs) {
        for (RegionConfig& config : configs) {
            auto opened = open_tenant(std::move(config));
            if (!opened) {
                return opened;
            }
        }
        if (!options_.control.empty()) {
            auto listener = Listener::create({options_.control, 0600, {}, {}, "--control"});
            if (!listener) {
                return forward_error(std::move(listener));
            }
            control_listener_.emplace(std::move(*listener));
        }
        if (!options_.metrics.empty()) {
            auto metrics =
                HttpServer::serve(loop_, options_.metrics, [this](const HttpRequest& request) {
                    return request.path == "/metrics" ? HttpAnswer{200, to_prometheus(status())}
                                                      : HttpAnswer{404, "see /metrics\n"};
                });
            if (!metrics) {
                return forward_error(std::move(metrics), "--metrics");
            }
            metrics_ = std::move(*metrics);
        }
        return {};
    }

    Result<int> run() {
        std::list<EventSource> sources;
        auto keep = [&](EventSource source) { sources.push_back(std::move(source)); };
        for (int number : {SIGTERM, SIGINT}) {
            auto added = loop_.on_signal(number, [this] { loop_.exit(0); }).map(keep);
            if (!added) {
                return forward_error(std::move(added));
            }
        }
        for (Tenant& tenant : tenants_) {
            auto started = tenant.server->start();
            if (!started) {
                return forward_error(std::move(started), "region " + tenant.config.name);
            }
            spdlog::info("region={} event=serving slots={} socket={} chunks={}", tenant.config.name,
                         tenant.config.layout.slots, tenant.config.socket,
                         tenant.config.layout.chunks);
        }
        store_.forget_rest();
        std::optional<Control> control;
        if (control_listener_) {
            control.emplace(loop_, *control_listener_, [this] { return to_json(status()); });
            auto started = control->start();
            if (!started) {
                return forward_error(std::move(started));
            }
        }
        auto shown = loop_.every(1s, [this] { show(); }).map(keep);
        if (!shown) {
            return forward_error(std::move(shown));
        }
        show();
        // A broker that hangs is ended and started again by the service manager; nobody is lost.
        uint64_t watchdog = 0;
        if (sd_watchdog_enabled(0, &watchdog) > 0) {
            auto fed = loop_
                           .every(std::chrono::microseconds(watchdog / 2),
                                  [] { sd_notify(0, "WATCHDOG=1"); })
                           .map(keep);
            if (!fed) {
                return forward_error(std::move(fed));
            }
        }
        sd_notify(0, "READY=1");
        auto code = loop_.run();
        sd_notify(0, "STOPPING=1");
        for (Tenant& tenant : tenants_) {
            tenant.server->stop();
            if (store_.enabled()) {
                tenant.listener.keep_file();  // it goes on listening in the store
            }
        }
        return code;
    }

private:
    Result<void> open_tenant(RegionConfig config) {
        auto region = Region::open(config, options_.state_dir, store_);
        if (!region) {
            return forward_error(std::move(region));
        }
        std::string kept = config.name + "/listen";
        auto listener = Listener::adopt(store_.take(kept), config.socket);
        if (!listener) {
            store_.forget(kept);
            listener = Listener::create({config.socket, config.mode, config.owner, config.group,
                                         options_.config.empty() ? "--socket" : "socket"});
            if (!listener) {
                return forward_error(std::move(listener));
            }
            store_.keep(kept, listener->fd());
        }
        tenants_.push_back(
            Tenant{std::move(config), std::move(*region), std::move(*listener), nullptr});
        Tenant& tenant = tenants_.back();
        tenant.server =
            std::make_unique<Server>(loop_, tenant.config, tenant.listener, tenant.region, store_);
        return {};
    }

    [[nodiscard]] std::vector<RegionStatus> status() const {
        std::vector<RegionStatus> all;
        for (const Tenant& tenant : tenants_) {
            all.push_back(tenant.server->status());
        }
        return all;
    }

    void show() {
        auto text = "STATUS=" + summary(status());
        if (text != shown_) {
            sd_notify(0, text.c_str());
            shown_ = std::move(text);
        }
    }

    const Options& options_;
    EventLoop& loop_;
    FdStore& store_;
    std::list<Tenant> tenants_;
    std::optional<Listener> control_listener_;
    std::unique_ptr<HttpServer> metrics_;
    std::string shown_;
};

}  // namespace

int complain(const Error& error, int code) {
    fmt::print(stderr, "ivpci-broker: {}\n", error.message);
    return code;
}

int serve(const Options& options) {
    log_init("ivpci-broker", options.log_level);
    raise_descriptor_limit();
    auto configs = regions_of(options);
    if (!configs) {
        return complain(configs.error(), kExitBadInput);
    }
    auto loop = EventLoop::create();
    if (!loop) {
        return complain(loop.error(), kExitFailure);
    }
    auto store = options.state_dir.empty() ? FdStore::inherit() : FdStore();
    if (!store) {
        return complain(store.error(), kExitFailure);
    }
    Service service(options, *loop, *store);
    auto opened = service.open(std::move(*configs));
    if (!opened) {
        return complain(opened.error(), kExitBadInput);
    }
    auto pid_file = PidFile::create(options.pid_file);
    if (!pid_file) {
        return complain(pid_file.error(), kExitBadInput);
    }
    auto code = service.run();
    return code ? *code : complain(code.error(), kExitFailure);
}

int show_status(const StatusCommand& command) {
    auto text = ask_status(command.control);
    if (text && !command.json) {
        text = to_table(*text);
    }
    if (!text) {
        return complain(text.error(), kExitFailure);
    }
    std::fputs(text->c_str(), stdout);
    return 0;
}

}  // namespace smc_steer::broker
