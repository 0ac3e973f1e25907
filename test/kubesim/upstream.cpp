// The connections to the server behind the proxy: libcurl's multi interface on the event loop.
#include "upstream.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <sys/epoll.h>

namespace kubesim {

struct Upstream::Transfer {
    Upstream *upstream;
    CURL *handle;
    std::shared_ptr<const Request> request; // holds the body that is sent
    std::weak_ptr<Answer> answer;
    curl_slist *headers = nullptr;
    Response head;
    std::optional<size_t> length;
    bool is_paused = false;

    ~Transfer() { curl_slist_free_all(headers); }
};

namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
    return out;
}

// Of one connection, not of the message.
bool is_of_connection(const std::string &name) {
    static const char *const names[] = {"connection", "keep-alive", "transfer-encoding", "te",     "upgrade",
                                        "host",       "expect",     "content-length",    "trailer"};
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

curl_blob blob(const std::string &text) {
    return {const_cast<char *>(text.data()), text.size(), CURL_BLOB_NOCOPY};
}

} // namespace

Upstream::Upstream(EventLoop &loop, UpstreamServer server)
    : loop_(loop), server_(std::move(server)), multi_(curl_multi_init()) {
    if (!multi_)
        throw std::runtime_error("cannot initialise libcurl");
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 256L);
}

Upstream::~Upstream() {
    for (const auto &[handle, transfer] : transfers_) {
        curl_multi_remove_handle(multi_, handle);
        curl_easy_cleanup(handle);
    }
    for (CURL *handle : idle_)
        curl_easy_cleanup(handle);
    curl_multi_cleanup(multi_);
}

void Upstream::send(std::shared_ptr<const Request> request, const std::shared_ptr<Answer> &answer, bool as_ourselves) {
    CURL *handle = idle_.empty() ? curl_easy_init() : idle_.back();
    if (!idle_.empty())
        idle_.pop_back();
    auto transfer = std::make_shared<Transfer>();
    transfer->upstream = this;
    transfer->handle = handle;
    transfer->request = request;
    transfer->answer = answer;

    const auto add = [&](const std::string &line) {
        transfer->headers = curl_slist_append(transfer->headers, line.c_str());
    };
    for (const auto &[name, value] : request->headers) {
        const bool is_left_out = is_of_connection(name) || name.starts_with("impersonate-") ||
                                 (name == "accept-encoding" && answer->needs_plain_body()) ||
                                 (name == "authorization" && as_ourselves && !server_.token.empty());
        if (!is_left_out)
            add(value.empty() ? name + ";" : name + ": " + value);
    }
    for (const auto &[name, value] : request->impersonation)
        add(name + ": " + value);
    // What libcurl would add by itself.
    for (const char *name : {"accept", "content-type", "user-agent"})
        if (!request->headers.contains(name))
            add(std::string(name) + ":");
    add("expect:");
    if (as_ourselves && !server_.token.empty())
        add("authorization: Bearer " + server_.token);

    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
    set(CURLOPT_URL, server_.url.c_str());
    set(CURLOPT_REQUEST_TARGET, request->target.c_str());
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_HTTPHEADER, transfer->headers);
    set(CURLOPT_BUFFERSIZE, 128L * 1024);
    if (request->method == "HEAD") {
        set(CURLOPT_NOBODY, 1L);
    } else {
        if (!request->body.empty()) {
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request->body.size()));
            set(CURLOPT_POSTFIELDS, request->body.data());
        } else if (request->method != "GET" && request->method != "DELETE") {
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(0));
            set(CURLOPT_POSTFIELDS, "");
        }
        set(CURLOPT_CUSTOMREQUEST, request->method.c_str());
    }
    if (!server_.authority.empty()) {
        curl_blob authority = blob(server_.authority);
        set(CURLOPT_CAINFO_BLOB, &authority);
    }
    if (as_ourselves && !server_.certificate.empty()) {
        curl_blob certificate = blob(server_.certificate), key = blob(server_.key);
        set(CURLOPT_SSLCERT_BLOB, &certificate);
        set(CURLOPT_SSLKEY_BLOB, &key);
    }
    set(CURLOPT_HEADERFUNCTION, on_head);
    set(CURLOPT_HEADERDATA, transfer.get());
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, transfer.get());
    transfers_[handle] = transfer;

    // Neither may be done at once: libcurl's functions are on the stack when an answer tells of itself.
    const auto later = [this, weak = std::weak_ptr<Transfer>(transfer)](auto what) {
        return [this, weak, what] {
            if (!weak.expired())
                loop_.after(std::chrono::microseconds(0), [weak, what] {
                    if (auto transfer = weak.lock())
                        what(*transfer);
                });
        };
    };
    answer->when_over(later([](Transfer &transfer) { transfer.upstream->forget(transfer.handle); }));
    const auto resume = later([](Transfer &transfer) {
        if (std::exchange(transfer.is_paused, false))
            curl_easy_pause(transfer.handle, CURLPAUSE_CONT);
    });
    answer->when_drained([resume, weak = std::weak_ptr<Transfer>(transfer)] {
        if (auto transfer = weak.lock(); transfer && transfer->is_paused)
            resume();
    });
    curl_multi_add_handle(multi_, handle);
}

size_t Upstream::on_head(char *data, size_t, size_t count, void *argument) {
    auto &transfer = *static_cast<Transfer *>(argument);
    std::string_view line(data, count);
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {
        transfer.head = Response();
        transfer.head.is_forwarded = true;
        transfer.length.reset();
        const size_t space = std::min(line.find(' ') + 1, line.size());
        std::from_chars(line.data() + space, line.data() + line.size(), transfer.head.status);
    } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
        std::string_view value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
        const std::string name = lower(line.substr(0, colon));
        if (name == "content-length")
            std::from_chars(value.data(), value.data() + value.size(), transfer.length.emplace(0));
        else if (!is_of_connection(name))
            transfer.head.headers.emplace_back(line.substr(0, colon), value);
    } else if (line.empty() && transfer.head.status >= 200) {
        if (transfer.head.status == 204 || transfer.head.status == 304)
            transfer.length = 0;
        if (auto answer = transfer.answer.lock())
            answer->begin(transfer.head, transfer.length);
    }
    return count;
}

size_t Upstream::on_body(char *data, size_t, size_t count, void *argument) {
    auto &transfer = *static_cast<Transfer *>(argument);
    auto answer = transfer.answer.lock();
    if (!answer || answer->is_over())
        return 0;
    if (answer->pending() > pending_limit) {
        transfer.is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    answer->write({data, count});
    answer->flush();
    return count;
}

int Upstream::on_socket(CURL *, curl_socket_t socket, int what, void *argument, void *known) {
    auto &self = *static_cast<Upstream *>(argument);
    if (what == CURL_POLL_REMOVE) {
        if (known)
            self.loop_.remove(socket);
        return 0;
    }
    const uint32_t in = EPOLLIN, out = EPOLLOUT;
    const uint32_t events = (what & CURL_POLL_IN ? in : 0) | (what & CURL_POLL_OUT ? out : 0);
    if (known) {
        self.loop_.modify(socket, events);
        return 0;
    }
    self.loop_.add(socket, events, [&self, socket](uint32_t happened) {
        self.act(socket, (happened & EPOLLIN ? CURL_CSELECT_IN : 0) | (happened & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                             (happened & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
    });
    curl_multi_assign(self.multi_, socket, argument);
    return 0;
}

int Upstream::on_timer(CURLM *, long timeout_ms, void *argument) {
    auto &self = *static_cast<Upstream *>(argument);
    const uint64_t timer = ++self.timer_;
    if (timeout_ms >= 0)
        self.loop_.after(std::chrono::milliseconds(timeout_ms), [&self, timer] {
            if (timer == self.timer_)
                self.act(CURL_SOCKET_TIMEOUT, 0);
        });
    return 0;
}

void Upstream::act(curl_socket_t socket, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, socket, events, &running);
    finish_done();
}

void Upstream::finish_done() {
    int left = 0;
    while (const CURLMsg *message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *handle = message->easy_handle;
        const CURLcode result = message->data.result;
        const auto transfer = transfers_.at(handle);
        forget(handle);
        const auto answer = transfer->answer.lock();
        if (!answer)
            continue;
        if (result == CURLE_OK)
            answer->end();
        else
            answer->abort(true); // as the server has cut it, or cannot be reached
    }
}

void Upstream::forget(CURL *handle) {
    const auto it = transfers_.find(handle);
    if (it == transfers_.end())
        return;
    curl_multi_remove_handle(multi_, handle);
    curl_easy_reset(handle);
    idle_.push_back(handle);
    transfers_.erase(it);
}

} // namespace kubesim
