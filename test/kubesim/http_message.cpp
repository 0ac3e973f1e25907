// Requests and responses of the simulator's HTTP server.
#include "http_message.hpp"

#include <chrono>

namespace kubesim {

namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

} // namespace

std::string Request::header(const std::string &name) const {
    auto it = headers.find(name);
    return it == headers.end() ? "" : it->second;
}

bool Request::has_parameter(const std::string &name) const {
    for (const auto &[key, value] : query)
        if (key == name)
            return true;
    return false;
}

std::string Request::parameter(const std::string &name) const {
    for (const auto &[key, value] : query)
        if (key == name)
            return value;
    return "";
}

bool Request::flag(const std::string &name) const {
    std::string value = parameter(name);
    return value == "true" || value == "1";
}

bool Request::is_watch() const {
    return method == "GET" && flag("watch");
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
            i += 2;
        } else {
            out += plus_is_space && text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

bool parse_target(const std::string &target, Request &request) {
    if (target.empty() || target[0] != '/')
        return false;
    request.target = target;
    size_t mark = target.find('?');
    request.path = percent_decode(std::string_view(target).substr(0, mark), false);
    request.query.clear();
    if (mark == std::string::npos)
        return true;
    std::string_view rest = std::string_view(target).substr(mark + 1);
    while (!rest.empty()) {
        size_t end = std::min(rest.find('&'), rest.size());
        std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        size_t equals = std::min(pair.find('='), pair.size());
        if (pair.empty())
            continue;
        std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
        request.query.emplace_back(percent_decode(pair.substr(0, equals), true), percent_decode(value, true));
    }
    return true;
}

const char *status_text(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 301:
        return "Moved Permanently";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 413:
        return "Request Entity Too Large";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Entity";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Status";
    }
}

int64_t now_us() {
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

} // namespace kubesim
