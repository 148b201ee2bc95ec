"""The MCP server: what agents are offered, per person, over streamable HTTP and stdio."""
