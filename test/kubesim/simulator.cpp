// The simulator as what answers requests: all its parts put together.
#include "simulator.hpp"

#include "conditions.hpp"
#include "kubeconfig.hpp"

#include <openssl/rand.h>

namespace kubesim {

namespace {

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

Options with_tokens(Options options) {
    if (options.tokens.empty())
        options.tokens.push_back(random_token());
    if (options.read_only_tokens.empty())
        options.read_only_tokens.push_back(random_token());
    return options;
}

Discovery load_discovery(const std::string &data, Schemas &schemas, Kinds &kinds) {
    Discovery out;
    out.load(data, schemas, kinds);
    return out;
}

} // namespace

Simulator::Simulator(EventLoop &loop, const Options &options, Control &control)
    : loop_(loop), options_(with_tokens(options)), discovery_(load_discovery(options.data, schemas_, kinds_)),
      custom_(schemas_, kinds_, discovery_), store_(options.history),
      watches_(loop, store_, {options.bookmark_interval_ms}), api_(store_, kinds_, {options.watch_list}),
      controllers_(loop, api_, store_, kinds_,
                   {options.node_ready_delay_ms,
                    options.namespace_delete_delay_ms,
                    {options.pod_start_delay_ms, options.pod_stop_delay_ms}}),
      definitions_(loop, api_, store_, kinds_, custom_, watches_, options.definition_delay_ms),
      router_(api_, kinds_, discovery_, authentication_, authorization_) {
    for (const auto &token : options_.tokens)
        authentication_.tokens[token] = Rights::all;
    for (const auto &token : options_.read_only_tokens)
        authentication_.tokens[token] = Rights::read;
    if (!options.store_file.empty())
        load_store(options.store_file);
    store_.on_change = [this](const Change &change) {
        if (journal_)
            journal_->append(change);
        watches_.dispatch(change);
        definitions_.observe(change);
        if (!options_.no_controllers)
            controllers_.observe(change);
    };
    if (store_.revision() == 1)
        controllers_.create_system_namespaces();
    else
        controllers_.resume();
    definitions_.resume();
    add_calls(control);
}

void Simulator::load_store(const std::string &file) {
    journal_.emplace(file, store_, kinds_, [this](const Kind &kind, const json &before, const json &after) {
        // The objects that follow are of the kinds it defines.
        if (kind.kind != "CustomResourceDefinition")
            return;
        if (after.is_null())
            custom_.forget(before);
        else if (is_true(after, "Established"))
            custom_.define(after, 0);
    });
}

void Simulator::add_calls(Control &control) {
    control.add("compact", [this](const Request &) { store_.compact(); });
    control.add("save", [this](const Request &) { store_.save(); });
    control.add("restore", [this](const Request &) { store_.restore(); });
    control.add("ready", [this](const Request &request) { router_.ready = is_on(request); });
    control.add("tokens", [this](const Request &request) { set_tokens(json::parse(request.body)); });
    control.add("rules", [this](const Request &request) { authorization_.set(json::parse(request.body)); });
    control.add_state([this](json &state) {
        state["revision"] = store_.revision();
        state["compacted"] = store_.compacted();
    });
}

// {"TOKEN": "all" | "read" | "none" | null}: null takes the token away.
void Simulator::set_tokens(const json &rights) {
    for (const auto &[token, right] : rights.items())
        if (right.is_null())
            authentication_.tokens.erase(token);
        else
            authentication_.tokens[token] = right == "all"    ? Rights::all
                                            : right == "read" ? Rights::read
                                                              : Rights::none;
}

void Simulator::handle(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) {
    const uint64_t before = store_.revision();
    Response response = router_.answer(*request);
    // A real server's watchers see a change before its author has the answer about half of the time.
    if (store_.revision() != before && store_.revision() % 2 == 0)
        watches_.flush();
    if (response.watch)
        return watches_.start(response.watch, answer, response);
    if (response.status != 504 || response.headers.empty() || options_.future_wait_ms <= 0)
        return answer->respond(response);
    // The server hopes its cache will catch up before it says so.
    loop_.after(std::chrono::milliseconds(options_.future_wait_ms),
                [weak = std::weak_ptr<Answer>(answer), response = std::move(response)] {
                    if (auto answer = weak.lock())
                        answer->respond(response);
                });
}

void Simulator::control(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) {
    Response response;
    response.status = 404;
    response.body = dump({{"error", "no such call: " + request->path}});
    answer->respond(response);
}

std::string Simulator::kubeconfig(const std::string &url, const Certificates &certificates) const {
    return kubesim::kubeconfig(url, certificates, options_.tokens[0], options_.read_only_tokens[0]);
}

} // namespace kubesim
