// The request log: one JSON line a request, for tests and latency measurements.
#include "request_log.hpp"

#include "json.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace kubesim {

RequestLog::~RequestLog() {
    if (file_)
        fclose(file_);
}

void RequestLog::open(const std::string &path) {
    file_ = fopen(path.c_str(), "ae");
    if (!file_)
        throw std::runtime_error("cannot open " + path + ": " + strerror(errno));
}

void RequestLog::write(const Request &request, int status, int64_t answered_us, uint64_t revision) {
    total++;
    bool apply = request.header("content-type").starts_with("application/apply-patch");
    std::string what = apply ? "APPLY" : request.method == "GET" && request.flag("watch") ? "WATCH" : request.method;
    by_method[what]++;
    by_status[status]++;
    if (!file_)
        return;
    fprintf(file_,
            "{\"time\":%.6f,\"answered\":%.6f,\"method\":%s,\"path\":%s,\"status\":%d,\"revision\":%llu,"
            "\"bytes\":%zu,\"user_agent\":%s,\"accept\":%s,\"certificate\":%s,\"acts_as\":%s}\n",
            static_cast<double>(request.received_us) / 1e6, static_cast<double>(answered_us) / 1e6,
            dump(request.method).c_str(), dump(request.target).c_str(), status,
            static_cast<unsigned long long>(revision), request.body.size(), dump(request.header("user-agent")).c_str(),
            dump(request.header("accept")).c_str(), dump(request.common_name).c_str(),
            dump(request.header("impersonate-user")).c_str());
    dirty_ = true;
}

void RequestLog::flush() {
    if (dirty_)
        fflush(file_);
    dirty_ = false;
}

void RequestLog::reset() {
    total = 0;
    by_method.clear();
    by_status.clear();
}

} // namespace kubesim
