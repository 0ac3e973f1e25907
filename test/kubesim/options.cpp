// Command line of the simulator and the proxy.
#include "options.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

namespace kubesim {

namespace {

const char *const help =
    R"(kubesim: a simulator of the Kubernetes API for tests (HTTPS, in memory, one process), or a proxy before a server.

  --port N                       listen here; 0 (default) takes a free port. "port N" is printed on standard output
  --listen ADDRESS               default 127.0.0.1
  --port-file FILE               also write the port there
  --kubeconfig-out FILE          write a kubeconfig with the contexts kubesim (client certificate, current),
                                 kubesim-token and kubesim-viewer
  --certificates DIRECTORY       keep the certificate authority there (ca.crt, admin.crt, admin.key, …) and reuse it;
                                 without it a new one lives as long as the process
  --token TOKEN                  bearer token with all rights (repeatable; default: a random one)
  --read-only-token TOKEN        bearer token that may get, list and watch (repeatable)
  --service-time-ms MS           how long every API request takes (fractions allowed, default 0)
  --changes-at-a-time N          more requests that change something are answered 429 (needs a service time)
  --node-ready-delay-ms MS       a created Node becomes Ready after this (default 50, -1 never), and a cordoned one tainted
  --namespace-delete-delay-ms MS a deleted Namespace empties itself after this (default 20)
  --pod-start-delay-ms MS        a pod becomes Ready so long after it was placed on a Ready Node (default 50, -1 never)
  --pod-stop-delay-ms MS         a deleted pod that ran is gone after this (default 20)
  --definition-delay-ms MS       a CustomResourceDefinition that is created or changed is served so after this (default 20)
  --no-controllers               as a bare API server: Nodes stay as they are, Namespaces stay Terminating, Deployments
                                 have no pods
  --bookmark-interval-ms MS      default 60000
  --future-wait-ms MS            how long a list waits for a resource version from the future (default 3000)
  --history N                    changes kept for watches and paging before they are forgotten (default 100000)
  --store FILE                   keep every change there, and begin with what it holds: a killed simulator goes on where
                                 it was (give --port and --certificates too)
  --watch-list                   serve sendInitialEvents with resourceVersionMatch as newer servers do
  --request-log FILE             one JSON line a request: time and answered (seconds since 1970, to the microsecond),
                                 method, path, status, revision of the store, bytes of the body, user_agent; written
                                 when the answer is (a watch: when it starts)
  --data DIRECTORY               discovery and OpenAPI documents (default: ../test/kubesim/data from the program)
  --die-with-parent              end when the parent process ends
  --proxy URL                    serve nothing, but pass requests on to the server there; faults are the same. Options above
                                 that are about what is served say nothing then
  --upstream-kubeconfig FILE     the server, unless --proxy says where, and the credentials of its current context: used
                                 for clients with the proxy's own certificate, which --kubeconfig-out has in their place.
                                 Other clients' Authorization is passed on
  --upstream-ca FILE, --upstream-client-cert FILE, --upstream-client-key FILE, --upstream-token TOKEN
                                 the same without a kubeconfig
  --help

Under /_sim/ (no credentials needed) tests control it; test/kubesim/README.md lists the calls.
SIGTERM and SIGINT end it.
)";

[[noreturn]] void mistake(const std::string &text) {
    fprintf(stderr, "kubesim: %s (see --help)\n", text.c_str());
    exit(2);
}

} // namespace

Options parse_options(int count, char **words) {
    Options out;
    auto program = std::filesystem::read_symlink("/proc/self/exe");
    out.data = (program.parent_path().parent_path() / "test/kubesim/data").string();
    auto text = [](std::string &into) { return [&into](const std::string &value) { into = value; }; };
    auto list = [](std::vector<std::string> &into) {
        return [&into](const std::string &value) { into.push_back(value); };
    };
    auto number = [](auto &into) {
        return [&into](const std::string &value) {
            char *end = nullptr;
            double parsed = strtod(value.c_str(), &end);
            if (value.empty() || *end)
                mistake("not a number: " + value);
            into = static_cast<std::remove_reference_t<decltype(into)>>(parsed);
        };
    };
    std::map<std::string, std::function<void(const std::string &)>> with_value = {
        {"--port", number(out.port)},
        {"--listen", text(out.listen)},
        {"--port-file", text(out.port_file)},
        {"--kubeconfig-out", text(out.kubeconfig_file)},
        {"--certificates", text(out.certificates)},
        {"--token", list(out.tokens)},
        {"--read-only-token", list(out.read_only_tokens)},
        {"--service-time-ms", number(out.service_time_ms)},
        {"--changes-at-a-time", number(out.changes_at_a_time)},
        {"--node-ready-delay-ms", number(out.node_ready_delay_ms)},
        {"--namespace-delete-delay-ms", number(out.namespace_delete_delay_ms)},
        {"--pod-start-delay-ms", number(out.pod_start_delay_ms)},
        {"--pod-stop-delay-ms", number(out.pod_stop_delay_ms)},
        {"--definition-delay-ms", number(out.definition_delay_ms)},
        {"--bookmark-interval-ms", number(out.bookmark_interval_ms)},
        {"--future-wait-ms", number(out.future_wait_ms)},
        {"--history", number(out.history)},
        {"--request-log", text(out.request_log)},
        {"--store", text(out.store_file)},
        {"--data", text(out.data)},
        {"--proxy", text(out.proxy_url)},
        {"--upstream-kubeconfig", text(out.upstream_kubeconfig)},
        {"--upstream-ca", text(out.upstream_authority)},
        {"--upstream-client-cert", text(out.upstream_certificate)},
        {"--upstream-client-key", text(out.upstream_key)},
        {"--upstream-token", text(out.upstream_token)}};
    std::map<std::string, bool *> flags = {{"--watch-list", &out.watch_list},
                                           {"--no-controllers", &out.no_controllers},
                                           {"--die-with-parent", &out.die_with_parent}};
    for (int i = 1; i < count; i++) {
        std::string word = words[i], value;
        if (word == "--help") {
            fputs(help, stdout);
            exit(0);
        }
        size_t equals = word.find('=');
        bool joined = equals != std::string::npos;
        if (joined) {
            value = word.substr(equals + 1);
            word.resize(equals);
        }
        if (auto flag = flags.find(word); flag != flags.end()) {
            *flag->second = true;
            continue;
        }
        auto option = with_value.find(word);
        if (option == with_value.end())
            mistake("unknown option " + word);
        if (!joined) {
            if (++i >= count)
                mistake(word + " needs a value");
            value = words[i];
        }
        option->second(value);
    }
    return out;
}

} // namespace kubesim
