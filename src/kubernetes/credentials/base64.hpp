// Standard base64 (RFC 4648), as kubeconfig files and Secrets use it. Used by the other files of the client.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// White space between characters is skipped. No value when anything else is wrong.
std::optional<std::string> base64_decode(std::string_view text);

// With padding, without line breaks.
std::string base64_encode(std::string_view bytes);

} // namespace dbnet::kubernetes
