// Fuzz target of server and user mapping options: "name=value", separated by the byte 0x1E. Nothing but OptionError and
// Failure comes out; what is accepted describes a connection that may be used.
#include "mirror/definition/selector_overlap.hpp"
#include "mirror/server/server_options.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

using namespace dbnet::mirror;

Options parse_lines(std::string_view text) {
    Options options;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\x1e')); // PEM values hold newlines
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        if (const std::size_t equals = line.find('='); equals != std::string_view::npos)
            options.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
    return options;
}

bool is_accepted(OptionPlace place, const Options &options) {
    try {
        check_options(place, options, true);
        return true;
    } catch (const OptionError &) {
        return false;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const Options options = parse_lines(text);
    const Options local{{"api_url", "https://127.0.0.1"}};
    try {
        if (is_accepted(OptionPlace::user_mapping, options))
            connection_of(local, &options);
        // Files are left alone: only what the options themselves say is tried.
        if (is_accepted(OptionPlace::server, options) && options.contains("api_url") &&
            connection_of(options, nullptr).api_url.ends_with('/'))
            std::abort();
    } catch (const dbnet::kubernetes::Failure &) {
    }
    const std::size_t half = size / 2;
    if (may_overlap(text.substr(0, half), text.substr(half)) != may_overlap(text.substr(half), text.substr(0, half)))
        std::abort();
    return 0;
}
