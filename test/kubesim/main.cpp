// kubesim: a simulator of the Kubernetes API, and a proxy before a server of it, with the same faults for both. Puts
// the parts together and runs until SIGTERM or SIGINT.
#include "certificates.hpp"
#include "control.hpp"
#include "event_loop.hpp"
#include "file.hpp"
#include "options.hpp"
#include "proxy.hpp"
#include "server.hpp"
#include "simulator.hpp"

#include <csignal>
#include <cstdio>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace {

using namespace kubesim;

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

int run(const Options &options) {
    if (options.die_with_parent) {
        pid_t parent = getppid();
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            return 0; // it died before the call
    }
    raise_descriptor_limit();
    EventLoop loop;
    stop_on_signals(loop);

    const Certificates certificates = make_certificates(options.certificates);
    Server server(loop, certificates, {options.service_time_ms, options.changes_at_a_time});
    Control control(server);
    std::unique_ptr<Backend> backend;
    if (options.is_proxy())
        backend = std::make_unique<Proxy>(loop, read_upstream(options));
    else
        backend = std::make_unique<Simulator>(loop, options, control);
    if (!options.request_log.empty())
        server.log.open(options.request_log);
    const int port = server.listen(options.listen, options.port);
    server.serve(*backend, control);
    loop.at_turn_end([&] {
        backend->turn_end();
        server.log.flush();
    });

    const std::string url = "https://" + options.listen + ":" + std::to_string(port);
    if (!options.kubeconfig_file.empty())
        write_file(options.kubeconfig_file, backend->kubeconfig(url, certificates), 0600);
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
