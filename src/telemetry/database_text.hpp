// Text of telemetry in a database that is not in UTF-8. OTLP is UTF-8; SQL_ASCII keeps it as it comes, every other
// encoding gets its own, and "?" for characters that it does not have. Any process that takes telemetry.
#pragma once

#include "telemetry/otlp/text.hpp"

#include <string>

namespace dbnet::telemetry {

// For Batch::encode; nullptr: nothing is to be done. In a transaction.
TextEncoder database_text_encoder();

// What the database says, for who reads UTF-8. In a transaction.
std::string utf8_of_database_text(std::string_view text);

} // namespace dbnet::telemetry
