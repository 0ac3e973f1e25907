// kubesim: a simulator of the Kubernetes API. Puts the parts together and runs until SIGTERM or SIGINT.
#include "api.hpp"
#include "authentication.hpp"
#include "certificates.hpp"
#include "conditions.hpp"
#include "control.hpp"
#include "controllers.hpp"
#include "custom_kinds.hpp"
#include "definition_controller.hpp"
#include "discovery.hpp"
#include "event_loop.hpp"
#include "file.hpp"
#include "journal.hpp"
#include "kubeconfig.hpp"
#include "options.hpp"
#include "router.hpp"
#include "server.hpp"
#include "store.hpp"
#include "watch.hpp"

#include <csignal>
#include <cstdio>
#include <openssl/rand.h>
#include <optional>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace {

using namespace kubesim;

std::string random_token() {
    unsigned char bytes[16];
    RAND_bytes(bytes, sizeof bytes);
    std::string out;
    char hex[3];
    for (unsigned char byte : bytes) {
        snprintf(hex, sizeof hex, "%02x", byte);
        out += hex;
    }
    return out;
}

void raise_descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Both signals arrive as an event of the loop.
void stop_on_signals(EventLoop &loop) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signal(SIGPIPE, SIG_IGN);
    int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    loop.add(descriptor, EPOLLIN, [&loop](uint32_t) { loop.stop(); });
}

int run(Options options) {
    if (options.die_with_parent) {
        pid_t parent = getppid();
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            return 0; // it died before the call
    }
    raise_descriptor_limit();
    EventLoop loop;
    stop_on_signals(loop);

    if (options.tokens.empty())
        options.tokens.push_back(random_token());
    if (options.read_only_tokens.empty())
        options.read_only_tokens.push_back(random_token());
    Authentication authentication;
    for (const auto &token : options.tokens)
        authentication.tokens[token] = Rights::all;
    for (const auto &token : options.read_only_tokens)
        authentication.tokens[token] = Rights::read;

    Schemas schemas;
    Kinds kinds;
    Discovery discovery;
    discovery.load(options.data, schemas, kinds);

    CustomKinds custom(schemas, kinds, discovery);

    Store store(options.history);
    std::optional<Journal> journal;
    if (!options.store_file.empty())
        journal.emplace(options.store_file, store, kinds, [&](const Kind &kind, const json &before, const json &after) {
            // The objects that follow are of the kinds it defines.
            if (kind.kind != "CustomResourceDefinition")
                return;
            if (after.is_null())
                custom.forget(before);
            else if (is_true(after, "Established"))
                custom.define(after, 0);
        });
    WatchHub watches(loop, store, {options.bookmark_interval_ms});
    Api api(store, kinds, {options.watch_list});
    Controllers controllers(loop, api, store, kinds,
                            {options.node_ready_delay_ms,
                             options.namespace_delete_delay_ms,
                             {options.pod_start_delay_ms, options.pod_stop_delay_ms}});
    DefinitionController definitions(loop, api, store, kinds, custom, watches, options.definition_delay_ms);
    store.on_change = [&](const Change &change) {
        if (journal)
            journal->append(change);
        watches.dispatch(change);
        definitions.observe(change);
        if (!options.no_controllers)
            controllers.observe(change);
    };
    if (store.revision() == 1)
        controllers.create_system_namespaces();
    else
        controllers.resume();
    definitions.resume();

    Certificates certificates = make_certificates(options.certificates);
    Router router(api, kinds, discovery, authentication);
    Server server(loop, watches, store, certificates,
                  {options.service_time_ms, options.future_wait_ms, options.changes_at_a_time});
    if (!options.request_log.empty())
        server.log.open(options.request_log);
    Control control(server, store, watches, router, authentication);
    int port = server.listen(options.listen, options.port);
    server.serve([&](const Request &request) { return router.answer(request); },
                 [&](const Request &request) { return control.answer(request); });
    loop.at_turn_end([&] {
        watches.flush();
        server.log.flush();
    });

    std::string url = "https://" + options.listen + ":" + std::to_string(port);
    if (!options.kubeconfig_file.empty())
        write_file(options.kubeconfig_file,
                   kubeconfig(url, certificates, options.tokens[0], options.read_only_tokens[0]), 0600);
    if (!options.port_file.empty())
        write_file(options.port_file, std::to_string(port) + "\n", 0644);
    printf("port %d\n", port);
    fflush(stdout);
    loop.run();
    return 0;
}

} // namespace

int main(int count, char **words) {
    try {
        return run(kubesim::parse_options(count, words));
    } catch (const std::exception &error) {
        fprintf(stderr, "kubesim: %s\n", error.what());
        return 1;
    }
}
