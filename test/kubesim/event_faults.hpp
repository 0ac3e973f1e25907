// What faults make of the lines of one watch, one event each. Pure: also part of the unit tests.
#pragma once

#include "faults.hpp"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace kubesim {

// How a watch ends that a fault ends.
enum class Ending { clean, close, reset, hang };

class EventFaults {
public:
    struct Result {
        std::vector<std::string> sent; // instead of the line; each with its newline, but the last of a cut
        std::optional<Ending> ending;
    };

    // Both stay alive as long as this.
    EventFaults(Faults &faults, const Request &request) : faults_(faults), request_(request) {}

    // What is to be sent for a line, which ends with its newline; nullopt: the line as it is.
    std::optional<Result> pass(std::string_view line);

private:
    static constexpr size_t remembered_objects = 1024;

    Faults &faults_;
    const Request &request_;
    std::unordered_map<std::string, std::string> last_line_; // by uid, only while a stale_event waits
};

// The document with a metadata.resourceVersion that is higher by so much; one without comes back as it is.
std::string shifted_revision(std::string_view document, uint64_t by);

} // namespace kubesim
