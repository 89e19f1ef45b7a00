"""From chosen frames to loose crops: plan, decode, find and choose faces, keep answers, assemble the tables."""
