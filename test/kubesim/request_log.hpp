// The request log: one JSON line a request, for tests and latency measurements.
#pragma once

#include "http_message.hpp"

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

namespace kubesim {

class RequestLog {
public:
    ~RequestLog();
    void open(const std::string &path);
    // `revision`: the store's after the request. `answered_us` as Request::received_us.
    void write(const Request &request, int status, int64_t answered_us, uint64_t revision);
    void flush();

    // Since the start or the last reset.
    uint64_t total = 0;
    std::map<std::string, uint64_t> by_method; // GET, WATCH, APPLY, PATCH, …
    std::map<int, uint64_t> by_status;
    void reset();

private:
    FILE *file_ = nullptr;
    bool dirty_ = false;
};

} // namespace kubesim
