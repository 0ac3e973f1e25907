// Requests and responses of the simulator's HTTP server.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace kubesim {

class WatchPlan; // watch.hpp

struct Request {
    std::string method;
    std::string target; // as sent
    std::string path;   // decoded, without the query
    std::vector<std::pair<std::string, std::string>> query;
    std::map<std::string, std::string> headers;                     // names in lower case; repeated ones joined by ", "
    std::vector<std::pair<std::string, std::string>> impersonation; // of these Impersonate-…, one by one
    std::string body;
    bool too_large = false;  // the body exceeded the limit and was not kept
    int64_t received_us = 0; // microseconds since 1970, when the last byte of the request was read

    // What TLS said about the client: the subject's common name and organisations.
    bool has_certificate = false;
    bool certificate_valid = false;
    std::string common_name;
    std::vector<std::string> organisations;

    std::string header(const std::string &name) const;
    bool has_parameter(const std::string &name) const;
    std::string parameter(const std::string &name) const;
    bool flag(const std::string &name) const; // "true" or "1"
    bool is_watch() const;
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    bool close = false;
    bool is_forwarded = false;        // `headers` are all there are, content_type is not looked at
    std::shared_ptr<WatchPlan> watch; // set: an endless chunked answer instead of `body`
};

// Fills method, path and query; false for a malformed target.
bool parse_target(const std::string &target, Request &request);
std::string percent_decode(std::string_view text, bool plus_is_space);
const char *status_text(int status);
int64_t now_us(); // wall clock, microseconds since 1970

} // namespace kubesim
